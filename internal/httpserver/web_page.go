package httpserver

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// NamesThisMachine reports whether a request's Host is an IP address or localhost, with or without a port. Every other name can be a web
// page's own name that was made to lead to this machine (DNS rebinding). A browser then takes the page's calls for calls of the page's own
// server.
func NamesThisMachine(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	_, err := netip.ParseAddr(name)
	return err == nil || CanonicalHost(name) == "localhost"
}

// FromOtherPage reports whether, according to the browser, a page of another origin than the request's makes the request. Requests that the
// user types or follows from outside the browser, and those of other programs, are from no page.
func FromOtherPage(r *http.Request) bool {
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "none", "same-origin":
	default:
		return true
	}
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return false
	}
	origin, err := url.Parse(origins[0])
	return err != nil || len(origins) > 1 || !strings.EqualFold(origin.Host, r.Host)
}
