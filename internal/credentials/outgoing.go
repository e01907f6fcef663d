package credentials

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// Outgoing is the token that a service sends to another service. The zero value has none. It is safe for concurrent use.
type Outgoing struct {
	token atomic.Pointer[string]
}

// Set replaces the token by the one token in text. Whitespace around the token is dropped. After an error the old token stays. The error
// does not contain the token.
func (o *Outgoing) Set(text string) error {
	token := strings.TrimSpace(text)
	if strings.ContainsAny(token, "\r\n") {
		return errors.New("holds more than one line: give only the token to send")
	}
	if name, _, found := strings.Cut(token, "="); found {
		for _, scope := range []Scope{Ingest, Read, Admin} {
			if name == scope.String() {
				return fmt.Errorf("begins with %s=, as in the other service's list: give the token alone", scope)
			}
		}
	}
	if err := CheckToken(token); err != nil {
		return err
	}
	o.token.Store(&token)
	return nil
}

// Token returns the token to send, or an empty string if there is none.
func (o *Outgoing) Token() string {
	if token := o.token.Load(); token != nil {
		return *token
	}
	return ""
}
