package main

import (
	"crypto/x509"
	"errors"
	"net"
	"net/url"

	"github.com/ticketbridge/ticketbridge/internal/credentials"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/reload"
)

// noteProblem notes what is wrong with a setting.
type noteProblem func(flag, format string, values ...any)

// readToken makes what --ticketsvc-token or --ticketsvc-token-file holds the token that ticketsvc is shown.
func (c *config) readToken(problem noteProblem) {
	c.token = &credentials.Outgoing{}
	switch {
	case c.TicketsvcToken != "" && c.TicketsvcTokenFile != "":
		problem("ticketsvc-token", "is set, and --ticketsvc-token-file as well: only one token can be sent, so set one of them")
	case c.TicketsvcToken != "":
		if err := c.token.Set(c.TicketsvcToken); err != nil {
			problem("ticketsvc-token", "%w", err)
		}
	case c.TicketsvcTokenFile != "":
		files, err := reload.Load("--ticketsvc-token-file", []string{c.TicketsvcTokenFile}, func(contents [][]byte) error {
			return c.token.Set(string(contents[0]))
		})
		if err != nil {
			problem("ticketsvc-token-file", "%w", err)
			return
		}
		c.files = append(c.files, files)
	}
}

var errNoAuthority = errors.New("holds no certificate: name a PEM file with those of ticketsvc's authorities")

// readAuthorities makes those of --ticketsvc-ca-file the ones that vouch for ticketsvc's certificate.
func (c *config) readAuthorities(problem noteProblem) {
	if c.TicketsvcCAFile == "" {
		return
	}
	_, err := reload.Load("--ticketsvc-ca-file", []string{c.TicketsvcCAFile}, func(contents [][]byte) error {
		c.authorities = x509.NewCertPool()
		if !c.authorities.AppendCertsFromPEM(contents[0]) {
			return errNoAuthority
		}
		return nil
	})
	if err != nil {
		problem("ticketsvc-ca-file", "%w", err)
	}
}

// isReadable tells whether what is sent to a URL crosses a network in cleartext.
func isReadable(u *url.URL) bool {
	return u.Scheme == "http" && !httpserver.IsLoopback(net.JoinHostPort(u.Hostname(), "0"))
}
