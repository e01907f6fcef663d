package httpserver

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// CheckAddress returns an error, for whoever set the address, unless it is of the form host:port, such as example.
func CheckAddress(address, example string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%q is not an address: use one such as %s", address, example)
	}
	return nil
}

// Protection says what keeps strangers from using an address.
type Protection struct {
	// Credentials tells whether callers must show credentials.
	Credentials bool
	// Mend is what to do to have them, such as "set --tokens-file". Empty means that there are none yet for such an address.
	Mend string
}

// CheckClosed is as [CheckAddress], and returns an error, too, for an address that other machines can reach while nothing protects it.
func CheckClosed(address, example string, protection Protection) error {
	if err := CheckAddress(address, example); err != nil {
		return err
	}
	switch {
	case protection.Credentials || IsLoopback(address):
		return nil
	case protection.Mend == "":
		return fmt.Errorf(
			"%q can be reached from other machines, and there are no credentials yet to protect it: use a loopback address such as %s",
			address, example)
	default:
		return fmt.Errorf(
			"%q can be reached from other machines, and no credentials protect it: %s, or use a loopback address such as %s",
			address, protection.Mend, example)
	}
}

// CanonicalHost returns the one form of a host name in which names can be compared: case and a dot at the end, which says that the name is
// complete, make no difference.
func CanonicalHost(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// IsLoopback reports whether an address, host:port, can be reached from this machine alone. It looks up no names: localhost is the only
// name that it takes for a loopback address.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if CanonicalHost(host) == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// NamesThisMachine reports whether a request's Host is an IP address or localhost, with or without a port. Every other name can be one of a
// web page's own that was made to lead to this machine (DNS rebinding), so that a browser takes its calls for calls of the page's server.
func NamesThisMachine(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	_, err := netip.ParseAddr(name)
	return err == nil || CanonicalHost(name) == "localhost"
}

// FromOtherPage reports whether a browser says that a page of another origin than the request's makes the request. What the user typed or
// follows from outside the browser, and what other programs send, is from no page.
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
