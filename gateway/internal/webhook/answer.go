package webhook

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// answer is a response of the webhook handler. Each is made once.
type answer struct {
	status  int
	message string
	body    []byte
	length  []string
	// closes is set if the connection is closed because the rest of the request is not worth reading.
	closes bool
}

// The answers of the webhook handler. The texts of the first three are the provider's own.
var (
	answerSuccess    = newAnswer(http.StatusOK, "success")
	answerTest       = newAnswer(http.StatusOK, "Received test event.")
	answerUnexpected = newAnswer(http.StatusBadRequest, "Unexpected event type")

	answerUnsigned           = newAnswer(http.StatusBadRequest, "Missing signature")
	answerMalformed          = newAnswer(http.StatusBadRequest, "Malformed event")
	answerUnauthenticated    = newAnswer(http.StatusUnauthorized, "Invalid signature")
	answerNotFound           = newAnswer(http.StatusNotFound, "Not found")
	answerMethodNotAllowed   = newAnswer(http.StatusMethodNotAllowed, "Only POST is allowed")
	answerEncoded            = newAnswer(http.StatusUnsupportedMediaType, "Content-Encoding is not supported")
	answerUnavailable        = newAnswer(http.StatusServiceUnavailable, "Try again later")
	answerMalformedSignature = newAnswer(http.StatusUnauthorized, "Invalid signature").closing()
	answerNoMemory           = newAnswer(http.StatusServiceUnavailable, "Try again later").closing()
	answerCutShort           = newAnswer(http.StatusBadRequest, "Incomplete body").closing()
	answerTimeout            = newAnswer(http.StatusRequestTimeout, "Body came too slowly").closing()
	answerTooLarge           = newAnswer(http.StatusRequestEntityTooLarge, "Body is too large").closing()
)

func newAnswer(status int, message string) *answer {
	body, err := json.Marshal(struct {
		Message string `json:"message"`
	}{message})
	if err != nil {
		panic(err) // a struct of one string can't fail
	}
	return &answer{status: status, message: message, body: body, length: []string{strconv.Itoa(len(body))}}
}

func (a *answer) closing() *answer {
	a.closes = true
	return a
}

var contentTypeJSON = []string{"application/json"}

// writeEarly writes an answer to a request whose body is not read. net/http then still reads some of the body, so that the sender gets the
// answer before the connection is closed.
func (a *answer) writeEarly(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTimeout))
	a.write(w)
}

func (a *answer) write(w http.ResponseWriter) {
	header := w.Header()
	// All answers share these slices, because net/http only reads them.
	header["Content-Type"] = contentTypeJSON
	header["Content-Length"] = a.length
	if a.status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "1")
	}
	if a.closes {
		header.Set("Connection", "close")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) //nolint:gosec // The body is JSON that this package makes, and says so.
}
