package httpserver

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// Certificate is a server's certificate and key. It can be replaced while the server serves: new connections get the new one, and open
// connections stay. It is safe for concurrent use.
type Certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// Set replaces the certificate and its key, both PEM. The certificate is followed by the intermediate certificates up to its authority.
// After an error, which holds nothing of the key, the old ones stay.
func (c *Certificate) Set(certificate, key []byte) error {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return fmt.Errorf("can't be used (%w): name a PEM file with the certificate and its chain, and one with its key", err)
	}
	c.current.Store(&pair)
	return nil
}

// Config returns the configuration of a server with this certificate, which must have been set.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
