package main

import (
	"errors"
	"strings"

	"github.com/ticketbridge/ticketbridge/internal/credentials"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/reload"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// reportProblem reports a problem with a setting.
type reportProblem func(flag, format string, values ...any)

var errNoTokens = errors.New("holds no token: give it one or more, as scope=token")

// readTokens sets the valid tokens from --tokens and --tokens-file. If one of them is set, every call needs a token, even after a problem.
func (c *config) readTokens(problem reportProblem) {
	set := strings.Join(c.Tokens, "") != ""
	if !set && c.TokensFile == "" {
		return
	}
	current := &credentials.Current{}
	c.security.Tokens = current
	fixed, err := credentials.Parse(c.Tokens)
	switch {
	case err != nil:
		problem("tokens", "%w", err)
	case set && fixed.Empty():
		problem("tokens", "%w", errNoTokens)
	}
	current.Set(fixed)
	if c.TokensFile == "" {
		return
	}
	files, err := reload.Load([]reload.File{{Setting: "--tokens-file", Path: c.TokensFile}}, func(contents [][]byte) error {
		// If the file is reloaded and is empty, the service must keep its tokens.
		tokens, err := credentials.Parse(strings.Split(string(contents[0]), "\n"))
		if err == nil && tokens.Empty() {
			err = errNoTokens
		}
		if err == nil {
			tokens, err = fixed.Join(tokens)
		}
		if err == nil {
			current.Set(tokens)
		}
		return err
	})
	if err != nil {
		problem("tokens-file", "%w", err)
		return
	}
	c.files = append(c.files, files)
}

// readCertificate sets the service's certificate from --tls-cert-file and --tls-key-file.
func (c *config) readCertificate(problem reportProblem) {
	switch {
	case c.TLSCertFile == "" && c.TLSKeyFile == "":
		return
	case c.TLSCertFile == "":
		problem("tls-cert-file", "is missing beside --tls-key-file: set both or neither")
		return
	case c.TLSKeyFile == "":
		problem("tls-key-file", "is missing beside --tls-cert-file: set both or neither")
		return
	}
	certificate := &httpserver.Certificate{}
	both := []reload.File{{Setting: "--tls-cert-file", Path: c.TLSCertFile}, {Setting: "--tls-key-file", Path: c.TLSKeyFile}}
	files, err := reload.Load(both, func(contents [][]byte) error { return certificate.Set(contents[0], contents[1]) })
	if unreadable := (*reload.UnreadableError)(nil); errors.As(err, &unreadable) {
		problem(strings.TrimPrefix(unreadable.Setting, "--"), "%w", err)
		return
	}
	if err != nil {
		problem("tls-cert-file", "or --tls-key-file %w", err)
		return
	}
	c.security.TLS = certificate.Config()
	c.files = append(c.files, files)
}

// readOrigins sets the allowed origins from --cors-origins.
func (c *config) readOrigins(problem reportProblem) {
	for _, origin := range c.CORSOrigins {
		if origin = strings.TrimSpace(origin); origin == "" {
			continue
		}
		if err := rpc.CheckOrigin(origin); err != nil {
			problem("cors-origins", "%w", err)
		}
		c.security.Origins = append(c.security.Origins, origin)
	}
}
