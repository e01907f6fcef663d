package credentials

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// Outgoing is the token that a service shows to another. The zero value has none. It is safe for concurrent use.
type Outgoing struct {
	token atomic.Pointer[string]
}

// Set makes the text's one token the one to show; whitespace around it is dropped. On an error, which does not hold the token, nothing
// changes.
func (o *Outgoing) Set(text string) error {
	token := strings.TrimSpace(text)
	if strings.ContainsAny(token, "\r\n") {
		return errors.New("holds more than one line: give the one token that is to be sent")
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

// Token returns the token to show, or an empty text when there is none.
func (o *Outgoing) Token() string {
	if token := o.token.Load(); token != nil {
		return *token
	}
	return ""
}
