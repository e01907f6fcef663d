package httpserver

import (
	"fmt"
	"net"
	"net/netip"
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

// Protection describes what keeps others from using an address.
type Protection struct {
	// Credentials is set if callers must send credentials.
	Credentials bool
	// Fix is what the operator does to require credentials, such as "set --tokens-file". Empty means that such an address can't have any yet.
	Fix string
}

// CheckProtected is like [CheckAddress]. It also returns an error for an address that other machines can reach if nothing protects it.
func CheckProtected(address, example string, protection Protection) error {
	if err := CheckAddress(address, example); err != nil {
		return err
	}
	switch {
	case protection.Credentials || IsLoopback(address):
		return nil
	case protection.Fix == "":
		return fmt.Errorf(
			"%q can be reached from other machines, and there are no credentials yet to protect it: use a loopback address such as %s",
			address, example)
	default:
		return fmt.Errorf(
			"%q can be reached from other machines, and no credentials protect it: %s, or use a loopback address such as %s",
			address, protection.Fix, example)
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
