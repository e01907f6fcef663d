package httpserver

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// Certificate is a server's certificate and key, which can be replaced while it serves: connections made from then on get the new one,
// and those that are open stay. It is safe for concurrent use.
type Certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// Set takes over a certificate, with those between it and its authority behind it, and its key, both PEM. On an error, which holds
// nothing of the key, nothing changes.
func (c *Certificate) Set(certificate, key []byte) error {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return fmt.Errorf("can't be used (%w): name a PEM file with the certificate and its chain, and one with its key", err)
	}
	c.current.Store(&pair)
	return nil
}

// Config returns the configuration of a server with this certificate, which has been set.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
