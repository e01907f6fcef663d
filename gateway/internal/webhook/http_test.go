package webhook_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHandler_methods(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY", "post", "Post"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			r := signed(bodyOf("e1")).to(method + " /webhook HTTP/1.1")
			want := answers(405, "Only POST is allowed", "Allow: POST")
			if method == http.MethodHead {
				want.Body = ""
			}
			d.follow(t, step{r, want}, step{r.carrying("").without(signatureHeader), want})
			d.wantRows(t)
		})
	}
}

func TestHandler_paths(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	for _, line := range []string{
		"POST / HTTP/1.1", "POST /webhook/ HTTP/1.1", "POST //webhook HTTP/1.1", "POST /webhook// HTTP/1.1",
		"POST /webhook/../webhook HTTP/1.1", "POST /./webhook HTTP/1.1", "POST /x/../webhook HTTP/1.1", "POST /WEBHOOK HTTP/1.1",
		"POST /webhook%2f HTTP/1.1", "POST /webhook%2F HTTP/1.1", "POST %2fwebhook HTTP/1.1", "POST /webhook%00 HTTP/1.1",
		"POST /webhook;x HTTP/1.1", "POST /webhook%3fx HTTP/1.1", "POST http://gateway.example/ HTTP/1.1",
		"POST http://gateway.example HTTP/1.1", "GET / HTTP/1.1", "GET /favicon.ico HTTP/1.1", "OPTIONS * HTTP/1.1",
		"CONNECT /webhook/ HTTP/1.1", "GET /webhook/ HTTP/1.1", "GET /livez HTTP/1.1", "GET /metrics HTTP/1.1", "GET /debug/pprof/ HTTP/1.1",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			want := answers(404, "Not found")
			if strings.HasPrefix(line, "POST %") {
				// The target is not valid in HTTP, so net/http itself answers.
				want = answer{
					Head: "HTTP/1.1 400 Bad Request\nConnection: close\nContent-Type: text/plain; charset=utf-8", Body: "400 Bad Request", Closed: true,
				}
			}
			d.follow(t, step{signed(bodyOf("e1")).to(line), want})
			d.wantRows(t)
		})
	}
}

func TestHandler_anotherPath(t *testing.T) {
	t.Parallel()
	d := mustServe(t, func(s *setup) { s.options.Path = "/in/allthings/" })
	r := signed(bodyOf("e1"))
	d.follow(t, step{r, answers(404, "Not found")}, step{r.to("POST /in/allthings HTTP/1.1"), answers(404, "Not found")},
		step{r.to("POST /in/allthings/ HTTP/1.1"), success})
	d.wantRows(t, pending("e1", r.body))
}

// If an encoded body were inflated, the first of each pair would be accepted. If its encoding were ignored, the second would be kept.
func TestHandler_encodedBodies(t *testing.T) {
	t.Parallel()
	plain := bodyOf("e1")
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(plain)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	zipped := b.String()
	want := answers(415, "Content-Encoding is not supported")
	d := mustServe(t)
	for name, encodings := range map[string][]string{
		"gzip":                  {"gzip"},
		"GZIP":                  {"GZIP"},
		"x-gzip":                {"x-gzip"},
		"deflate":               {"deflate"},
		"br":                    {"br"},
		"zstd":                  {"zstd"},
		"unknown":               {"x"},
		"a list":                {"identity, gzip"},
		"two headers":           {"identity", "gzip"},
		"two headers, the last": {"gzip", "identity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inflated, raw, unsigned := signed(plain).carrying(zipped), signed(zipped), unsigned(zipped)
			for _, encoding := range encodings {
				inflated, raw = inflated.and("Content-Encoding", encoding), raw.and("Content-Encoding", encoding)
				unsigned = unsigned.and("Content-Encoding", encoding)
			}
			d.follow(t, step{inflated, want}, step{raw, want}, step{unsigned, want})
			d.wantRows(t)
		})
	}
}

// sized returns the body of a good event with this number of bytes.
func sized(bytes int) string {
	return eventWith("e1", `"x":"`+strings.Repeat("x", bytes-len(eventWith("e1", `"x":""`)))+`"`)
}

func TestHandler_sizeLimit(t *testing.T) {
	t.Parallel()
	tooLarge := answers(413, "Body is too large", "Connection: close")
	chunkedSuccess := answers(200, "success", "Connection: close")
	for name, limit := range map[string]int{"1 MiB": maxBody, "2 KiB": 2 << 10, "16 KiB": 16 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limited := func(s *setup) { s.options.MaxBodyBytes = int64(limit) }
			fits, over := signed(sized(limit)), signed(sized(limit+1))
			for name, test := range map[string]struct {
				step
				rows []row
			}{
				"exactly at it":           {step{fits, success}, []row{pending("e1", fits.body)}},
				"exactly at it in chunks": {step{fits.chunked(1000), chunkedSuccess}, []row{pending("e1", fits.body)}},
				"over it":                 {step{over, tooLarge}, nil},
				"over it in chunks":       {step{over.chunked(1000), tooLarge}, nil},
				"over it in one chunk":    {step{over.chunked(limit + 1), tooLarge}, nil},
				"over it, wrongly signed": {step{over.with(signatureHeader, sign("wrong", "")), tooLarge}, nil},
				"over it, unsigned":       {step{over.without(signatureHeader), tooLarge}, nil},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					d := mustServe(t, limited)
					d.follow(t, test.step)
					d.wantRows(t, test.rows...)
				})
			}
		})
	}
}

// None of the body is sent in these cases, so the handler can't have waited for it.
func TestHandler_declaredSizeOverTheLimit(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	for name, headers := range map[string][][2]string{
		"one byte over":            {{"Content-Length", strconv.Itoa(maxBody + 1)}},
		"a terabyte":               {{"Content-Length", "1099511627776"}},
		"the largest":              {{"Content-Length", "9223372036854775807"}},
		"asking before it is sent": {{"Content-Length", strconv.Itoa(maxBody + 1)}, {"Expect", "100-continue"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := signed("")
			for _, h := range headers {
				r = r.with(h[0], h[1])
			}
			d.follow(t, step{r, answers(413, "Body is too large", "Connection: close")})
			d.wantRows(t)
		})
	}
}

func TestHandler_expectContinue(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	r := signed(bodyOf("e1")).and("Expect", "100-continue")
	c := d.dial(t)
	c.mustWrite(t, r.head())
	if interim, err := c.read("POST"); err != nil || interim.Head != "HTTP/1.1 100 Continue" {
		t.Fatalf("interim answer %q, %v", interim.Head, err)
	}
	c.mustWrite(t, r.body)
	if diff := cmp.Diff(success, c.answer(t, "POST")); diff != "" {
		t.Error(diff)
	}
	d.wantRows(t, pending("e1", r.body))
}

func TestNewServer_headerLimit(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	body := bodyOf("e1")
	d.follow(t,
		step{signed(body).and("X-Long", strings.Repeat("x", 15<<10)), success},
		step{signed(bodyOf("e2")).and("X-Long", strings.Repeat("x", 32<<10)), answer{
			Head:   "HTTP/1.1 431 Request Header Fields Too Large\nConnection: close\nContent-Type: text/plain; charset=utf-8",
			Body:   "431 Request Header Fields Too Large",
			Closed: true,
		}})
	d.wantRows(t, pending("e1", body))
}

func TestNewServer_onlyHTTP11(t *testing.T) {
	t.Parallel()
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	d := mustServe(t)
	for name, test := range map[string]struct{ text, status string }{
		"HTTP/2 with prior knowledge": {preface + settings, "404"},
		"HTTP/2 in a POST":            {signed(bodyOf("e1")).to("POST /webhook HTTP/2.0").String(), "505"},
		"HTTP/3 in a POST":            {signed(bodyOf("e1")).to("POST /webhook HTTP/3.0").String(), "505"},
		"HTTP/0.9":                    {signed(bodyOf("e1")).to("POST /webhook").String(), "400"},
		"TLS":                         {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
		"no Host":                     {signed(bodyOf("e1")).without("Host").String(), "400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := d.dial(t)
			c.mustWrite(t, test.text)
			got, err := c.read("POST")
			if err != nil {
				t.Fatal(err)
			}
			if got.status() != test.status || !strings.HasPrefix(got.Head, "HTTP/1.1 ") {
				t.Errorf("answer:\n%s\nwant status %s in HTTP/1.1", got.Head, test.status)
			}
			if rest := c.rest(t); rest != "" {
				t.Errorf("something follows the answer: %q", rest)
			}
			d.wantRows(t)
		})
	}
}

func TestNewServer_ignoresUpgradeToHTTP2(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	r := signed(bodyOf("e1"))
	d.follow(t, step{r.and("Connection", "Upgrade, HTTP2-Settings").and("Upgrade", "h2c").and("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
		success})
	d.wantRows(t, pending("e1", r.body))
}

func TestNewServer_refusesHTTP2(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.address+"/webhook", strings.NewReader(bodyOf("e1")))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(signatureHeader, sign(secret, bodyOf("e1")))
	request.Header.Set(timestampHeader, at(0))
	if response, err := transport.RoundTrip(request); err == nil {
		t.Errorf("answered with %s %s", response.Proto, response.Status)
		_ = response.Body.Close()
	}
	d.wantRows(t)
}
