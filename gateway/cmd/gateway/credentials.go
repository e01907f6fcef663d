package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/ticketbridge/ticketbridge/gateway/internal/signature"
	"github.com/ticketbridge/ticketbridge/internal/credentials"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/reload"
)

// reportProblem records a problem of a setting.
type reportProblem func(flag, format string, values ...any)

// maxSecrets bounds the work for a wrong signature, because each secret is tried.
const maxSecrets = 64

var errNoSecret = errors.New(
	"holds no secret: set it to the webhook's shared secret, or name a file that holds it, one a line, with --webhook-secret-file")

// readSecrets sets the secrets of --webhook-secret and --webhook-secret-file together.
func (c *config) readSecrets(problem reportProblem) {
	c.verifier = &signature.Verifier{}
	fixed, err := parseSecrets(c.WebhookSecret, c.WebhookSecretMinLength)
	if err == nil && c.WebhookSecretFile == "" {
		err = setSecrets(c.verifier, fixed)
	}
	if err != nil {
		problem("webhook-secret", "%w", err)
		return
	}
	if c.WebhookSecretFile == "" {
		return
	}
	files, err := reload.Load([]reload.File{{Setting: "--webhook-secret-file", Path: c.WebhookSecretFile}}, func(contents [][]byte) error {
		secrets, err := parseSecrets(strings.Split(string(contents[0]), "\n"), c.WebhookSecretMinLength)
		if err != nil {
			return err
		}
		return setSecrets(c.verifier, slices.Concat(fixed, secrets))
	})
	if err != nil {
		problem("webhook-secret-file", "%w", err)
		return
	}
	c.files = append(c.files, files)
}

// parseSecrets returns the secrets of entries, without the whitespace around them. The error holds none of them.
func parseSecrets(entries []string, minLength int) ([]signature.Secret, error) {
	var secrets []signature.Secret
	for i, entry := range entries {
		entry = strings.TrimSpace(entry)
		secret := signature.ParseSecret(entry)
		switch {
		case entry == "":
			continue
		case strings.Contains(entry, "\x00"):
			return nil, fmt.Errorf("entry %d holds a NUL byte: save the file as UTF-8, with one secret a line", i+1)
		case len(secret.Key) < minLength:
			return nil, fmt.Errorf("entry %d has %d bytes: use a secret of at least %d, made at random, or lower --webhook-secret-min-length",
				i+1, len(secret.Key), minLength)
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

func setSecrets(verifier *signature.Verifier, secrets []signature.Secret) error {
	switch {
	case len(secrets) == 0:
		return errNoSecret
	case len(secrets) > maxSecrets:
		return fmt.Errorf("there are %d secrets: keep at most %d, those that senders use", len(secrets), maxSecrets)
	}
	verifier.Set(secrets...)
	return nil
}

// readToken sets the token for ticketsvc from --ticketsvc-token or --ticketsvc-token-file.
func (c *config) readToken(problem reportProblem) {
	c.token = &credentials.Outgoing{}
	switch {
	case c.TicketsvcToken != "" && c.TicketsvcTokenFile != "":
		problem("ticketsvc-token", "is set, and --ticketsvc-token-file as well: only one token can be sent, so set one of them")
	case c.TicketsvcToken != "":
		if err := c.token.Set(c.TicketsvcToken); err != nil {
			problem("ticketsvc-token", "%w", err)
		}
	case c.TicketsvcTokenFile != "":
		files, err := reload.Load([]reload.File{{Setting: "--ticketsvc-token-file", Path: c.TicketsvcTokenFile}}, func(contents [][]byte) error {
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

// readAuthorities sets the certificate authorities for ticketsvc's certificate from --ticketsvc-ca-file.
func (c *config) readAuthorities(problem reportProblem) {
	if c.TicketsvcCAFile == "" {
		return
	}
	_, err := reload.Load([]reload.File{{Setting: "--ticketsvc-ca-file", Path: c.TicketsvcCAFile}}, func(contents [][]byte) error {
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

// isCleartext reports whether requests to a URL cross a network in cleartext.
func isCleartext(u *url.URL) bool {
	return u.Scheme == "http" && !httpserver.IsLoopback(net.JoinHostPort(u.Hostname(), "0"))
}
