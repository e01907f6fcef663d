package httpserver

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// CheckAddress returns nil if the address is of the form host:port, like example. Otherwise it returns an error for the operator who set
// it.
func CheckAddress(address, example string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%q is not an address: use one such as %s", address, example)
	}
	return nil
}

// Protection describes what keeps strangers from using an address.
type Protection struct {
	// Credentials is set if callers must send credentials.
	Credentials bool
	// Mend is what to do to have credentials, such as "set --tokens-file". Empty means that such an address can't have any yet.
	Mend string
}

// CheckClosed is like [CheckAddress]. It also returns an error for an address that other machines can reach if nothing protects it.
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

// CanonicalHost returns the form of a host name in which names can be compared. Case makes no difference, nor does a final dot, which means
// that the name is complete.
func CanonicalHost(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// IsLoopback reports whether an address, host:port, can be reached only from this machine. It looks up no names: localhost is the only name
// that it takes for a loopback address.
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
