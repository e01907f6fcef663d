package rpc_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// browse sends a request as a browser does for a script of a page of origin, and returns the status and the headers of the response.
func browse(t *testing.T, s *server, method, origin string, headers map[string]string) (int, http.Header) {
	t.Helper()
	var body *strings.Reader
	if body = strings.NewReader(""); method == http.MethodPost {
		body = strings.NewReader("{}")
	}
	request, err := http.NewRequestWithContext(t.Context(), method, s.url+ticketv1connect.TicketServiceListTicketsProcedure, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", origin)
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := newClient(t, s, "Connect").http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header
}

func TestWithCORS_allowedOriginsOnly(t *testing.T) {
	t.Parallel()
	const ours = "https://tickets.example.com"
	closed := mustServe(t, mustOpenStore(t))
	open := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Origins: []string{ours, "http://localhost:5173"}})
	guarded := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Origins: []string{ours}, Tokens: mustCredentials(t)})
	loose := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Origins: []string{"https://Tickets.EXAMPLE.com.:443"}})
	for name, test := range map[string]struct {
		s      *server
		origin string
		shared bool
	}{
		"no origins":                {closed, ours, false},
		"one that is set":           {open, ours, true},
		"another that is set":       {open, "http://localhost:5173", true},
		"with tokens":               {guarded, ours, true},
		"written otherwise":         {loose, ours, true},
		"with a dot at the end":     {open, "https://tickets.example.com.", true},
		"with a dot and a port":     {open, "http://localhost.:5173", true},
		"with two dots at the end":  {open, "https://tickets.example.com..", false},
		"another, with tokens":      {guarded, "https://example.com", false},
		"another":                   {open, "https://example.com", false},
		"another scheme":            {open, "http://tickets.example.com", false},
		"another port":              {open, ours + ":8443", false},
		"a name below":              {open, "https://x.tickets.example.com", false},
		"a name that ends the same": {open, "https://evil-tickets.example.com", false},
		"a name that goes on":       {open, ours + ".evil.example", false},
		"a file, or a sandbox":      {open, "null", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantOrigin, wantStatus := "", http.StatusOK
			if test.shared {
				wantOrigin = test.origin
			} else if test.s != guarded {
				wantStatus = http.StatusForbidden
			}
			status, headers := browse(t, test.s, http.MethodOptions, test.origin, map[string]string{"Access-Control-Request-Method": "POST",
				"Access-Control-Request-Headers": "authorization,connect-protocol-version,connect-timeout-ms,content-type"})
			if got := headers.Get("Access-Control-Allow-Origin"); got != wantOrigin {
				t.Errorf("before the call: status %d, allowed origin %q, want %q", status, got, wantOrigin)
			}
			if asked := headers.Get("Access-Control-Allow-Headers"); strings.Contains(asked, "authorization") != test.shared {
				t.Errorf("before the call: allowed headers %q", asked)
			}
			status, headers = browse(t, test.s, http.MethodPost, test.origin, map[string]string{"Content-Type": "application/json",
				"Authorization": "Bearer " + tokens["read"]})
			if got := headers.Get("Access-Control-Allow-Origin"); got != wantOrigin || status != wantStatus {
				t.Errorf("the call: status %d, allowed origin %q; want %d, %q", status, got, wantStatus, wantOrigin)
			}
			if got := headers.Get("Access-Control-Expose-Headers"); strings.Contains(got, "Grpc-Status") != test.shared {
				t.Errorf("the call: exposed headers %q", got)
			}
			if got := headers.Get("Access-Control-Allow-Credentials"); got != "" {
				t.Errorf("cookies are allowed: %q", got)
			}
		})
	}
}

// TestWithoutTokens_pagesOfOtherOrigins has GETs as a browser sends them for an image or a script, without a preflight. They ask for a
// ticket that does not exist.
func TestWithoutTokens_pagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	const ours = "https://tickets.example.com"
	open := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Origins: []string{ours}})
	guarded := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Origins: []string{ours}, Tokens: mustCredentials(t)})
	for name, test := range map[string]struct {
		s            *server
		site, origin string
		want         int
	}{
		"no browser":                         {open, "", "", 404},
		"the address bar":                    {open, "none", "", 404},
		"a page of this address":             {open, "same-origin", "", 404},
		"an image of another page":           {open, "cross-site", "", 403},
		"an image of another port":           {open, "same-site", "", 403},
		"a script of another page":           {open, "cross-site", "https://evil.example", 403},
		"a sandbox":                          {open, "cross-site", "null", 403},
		"an old browser":                     {open, "", "https://evil.example", 403},
		"a script of an allowed page":        {open, "cross-site", ours, 404},
		"a script that says so twice":        {open, "cross-site", ours + ", " + ours, 403},
		"an image of another page, no token": {guarded, "cross-site", "", 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
				test.s.url+ticketv1connect.TicketServiceGetTicketProcedure+`?encoding=json&message=%7B"ticketId":"a"%7D`, nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{"Sec-Fetch-Site": test.site, "Origin": test.origin} {
				if value != "" {
					request.Header.Set(name, value)
				}
			}
			response, err := newClient(t, test.s, "Connect").http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			if err := response.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.want {
				t.Errorf("status %d, want %d", response.StatusCode, test.want)
			}
		})
	}
}

func TestWithCORS_preflightNeedsNoToken(t *testing.T) {
	t.Parallel()
	const ours = "https://tickets.example.com"
	s := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Origins: []string{ours}, Tokens: mustCredentials(t)})
	if status, _ := browse(t, s, http.MethodOptions, ours,
		map[string]string{"Access-Control-Request-Method": "POST"}); status != http.StatusNoContent {
		t.Errorf("before the call: status %d, want 204", status)
	}
	status, headers := browse(t, s, http.MethodPost, ours, map[string]string{"Content-Type": "application/json"})
	if status != http.StatusUnauthorized || headers.Get("Access-Control-Allow-Origin") != ours {
		t.Errorf("a call without a token: status %d, want 401, which the page can read", status)
	}
}

func TestCheckOrigin(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{
		"https://tickets.example.com":     "",
		"http://localhost:5173":           "",
		"http://[::1]:5173":               "",
		"https://tickets.example.com:443": "",
		"HTTPS://Tickets.example.com.":    "",
		"https://tickets.example.com:":    "",
		"*":                               "wildcard",
		"https://*.example.com":           "wildcard",
		"https://tickets.example.com/":    "not an origin",
		"https://user@example.com":        "not an origin",
		"tickets.example.com":             "not an origin",
		"file:///page.html":               "not an origin",
		"null":                            "not an origin",
		"https://":                        "not an origin",
		"https://a b":                     "not an origin",
	} {
		if err := rpc.CheckOrigin(origin); (err == nil) != (want == "") ||
			err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "user")) {
			t.Errorf("CheckOrigin(%q) = %v, want %q", origin, err, want)
		}
	}
}
