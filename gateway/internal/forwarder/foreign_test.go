package forwarder_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// foreignAnswer is an answer that ticketsvc never gives.
type foreignAnswer struct {
	status            int
	contentType, body string
}

// foreignAnswers returns answers of proxies, load balancers and services at a wrong URL, by name.
func foreignAnswers() map[string]foreignAnswer {
	answers := map[string]foreignAnswer{
		"a success that is a login page":                  {200, "text/html; charset=utf-8", "<html>"},
		"a success that is a JSON object":                 {200, "application/json", "{}"},
		"a success that is a JSON list":                   {200, "application/json", "[]"},
		"a success without a content type":                {200, "", ""},
		"a success that is HTML under our content type":   {200, "application/proto", "<html><body>Please log in</body></html>"},
		"a success that is a list under our content type": {200, "application/proto", "[]"},
		"a success that is larger than any of ours":       {200, "application/proto", fmt.Sprintf("%02000000d", 0)},
		"no content": {204, "", ""},
		"a redirect": {302, "text/html", ""},
	}
	for _, status := range []int{400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 500, 501, 502, 503, 504, 521} {
		for name, answer := range map[string]foreignAnswer{
			"HTML":               {status, "text/html", "<html>"},
			"text":               {status, "text/plain; charset=utf-8", "page not found"},
			"nothing":            {status, "", ""},
			"empty JSON":         {status, "application/json", ""},
			"a message":          {status, "application/json", `{"message":"Internal server error"}`},
			"a number as code":   {status, "application/json", `{"code":13,"message":"internal"}`},
			"an unknown code":    {status, "application/json", `{"code":"InvalidRequest","message":"no"}`},
			"a numbered code":    {status, "application/json", `{"code":"code_99"}`},
			"no code":            {status, "application/json", `{"code":null}`},
			"an empty code":      {status, "application/json; charset=utf-8", `{"code":""}`},
			"a list":             {status, "application/json", `[]`},
			"a list of errors":   {status, "application/json", `[{"code":"invalid_argument"}]`},
			"null":               {status, "application/json", `null`},
			"a text":             {status, "application/json", `"not_found"`},
			"a cut-short error":  {status, "application/json", `{"code":"invalid_argument","mess`},
			"an object after it": {status, "application/json", `{"code":"invalid_argument"}{}`},
			"another message":    {status, "application/json", `{"code":"invalid_argument","message":{"en":"no"}}`},
			"other details":      {status, "application/json", `{"code":"invalid_argument","details":[{"type":"a","value":"?"}]}`},
			"no detail":          {status, "application/json", `{"code":"resource_exhausted","details":[null]}`},
			"an endless error":   {status, "application/json", `{"code":"invalid_argument","message":"` + fmt.Sprintf("%0100000d", 0) + `"}`},
		} {
			answers[fmt.Sprint(status, " with ", name)] = answer
		}
	}
	return answers
}

func (a foreignAnswer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = []string{a.contentType}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// TestClassify_foreignAnswers calls a server for each answer. No such answer may use up an attempt.
func TestClassify_foreignAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range foreignAnswers() {
		server := httptest.NewServer(answer)
		client := forwarder.NewClient(server.URL, forwarder.ClientOptions{})
		_, err := client.TicketCreated(t.Context(), &ticketv1.TicketCreatedRequest{})
		if got := forwarder.Classify(err); got != "unreachable" && got != "deferred" && got != "misconfigured" {
			t.Errorf("%s: the outcome is %s, want one that costs no attempt; %v", name, got, err)
		}
		server.Close()
	}
}

// TestClassify_foreignStatus has the same answer as HTML and as JSON: only the status counts.
func TestClassify_foreignStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		200: "misconfigured", 302: "misconfigured", 401: "misconfigured", 404: "misconfigured", 405: "misconfigured", 501: "misconfigured",
		400: "deferred", 403: "deferred", 409: "deferred", 413: "deferred", 415: "deferred", 422: "deferred", 431: "deferred",
		408: "unreachable", 429: "unreachable", 500: "unreachable", 502: "unreachable", 503: "unreachable", 504: "unreachable",
		521: "unreachable",
	} {
		for _, answer := range []foreignAnswer{{status, "text/html", "<html>"}, {status, "application/json", `{"message":"no"}`}} {
			server := httptest.NewServer(answer)
			client := forwarder.NewClient(server.URL, forwarder.ClientOptions{})
			_, err := client.TicketCreated(t.Context(), &ticketv1.TicketCreatedRequest{})
			if got := forwarder.Classify(err); got != want {
				t.Errorf("%d as %s: the outcome is %s, want %s; %v", status, answer.contentType, got, want, err)
			}
			server.Close()
		}
	}
}

// TestClassify_truncatedAnswer has answers whose connection is closed before their end.
func TestClassify_truncatedAnswer(t *testing.T) {
	t.Parallel()
	for _, answer := range []foreignAnswer{
		{400, "application/json", `{"code":"invalid_argument","mess`}, {200, "application/proto", "\x00"}, {502, "text/html", "<ht"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", answer.contentType)
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(answer.status)
			_, _ = io.WriteString(w, answer.body)
			panic(http.ErrAbortHandler)
		}))
		client := forwarder.NewClient(server.URL, forwarder.ClientOptions{})
		_, err := client.TicketCreated(t.Context(), &ticketv1.TicketCreatedRequest{})
		if got := forwarder.Classify(err); got != "unreachable" {
			t.Errorf("%d, cut short: the outcome is %s, want unreachable; %v", answer.status, got, err)
		}
		server.Close()
	}
}

func TestForwarder_foreignAnswerCostsNoAttempt(t *testing.T) {
	t.Parallel()
	const passes = 2 * maxAttempts
	answers := foreignAnswers()
	for _, name := range []string{
		"a success that is a login page", "a success that is a JSON list", "a success that is HTML under our content type", "a redirect",
		"400 with HTML", "400 with a message", "404 with text", "404 with a message", "405 with text", "408 with text", "409 with a message",
		"413 with HTML", "413 with a message", "429 with text", "500 with nothing", "500 with a message", "500 with a number as code",
		"500 with a list", "500 with empty JSON", "501 with HTML", "502 with HTML", "502 with null", "503 with a cut-short error",
		"504 with an unknown code", "521 with HTML",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, ok := answers[name]
			if !ok {
				t.Fatal("there is no such answer")
			}
			b := newBox(t)
			b.add(t, "e", body("e"))
			var calls atomic.Int64
			inner := newTicketsvc(nil).handler()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) > passes {
					inner.ServeHTTP(w, r)
					return
				}
				answer.ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			start(t, b, server.URL, io.Discard)
			if got := b.waitUntil(t, nonePending)["e"]; got.State != inbox.Forwarded || got.Attempts != 0 {
				t.Errorf("%+v, want it forwarded without an attempt used up", got)
			}
		})
	}
}
