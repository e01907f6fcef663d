package rpc

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// maxTicketBytes is how large a ticket may be in a response. What is left is for what else that says.
const maxTicketBytes = maxSendBytes - 1<<20

// errTogether says that tickets are too large for one response, though none is so by itself.
var errTogether = errors.New("the tickets are together larger than a response")

// oversizedError says that a ticket is too large for any response. It is not for waiting or asking for less: whoever comes to the ticket,
// in a list or a stream, gets no further.
type oversizedError struct{ ticketID string }

// errOversized is what every [oversizedError] is.
var errOversized = errors.New("the ticket is larger than any response")

func (e *oversizedError) Error() string {
	return fmt.Sprintf("ticket %q is larger than the %d MiB that a response has for it: the fields of its events are too large; an operator has to erase it",
		e.ticketID, maxTicketBytes>>20)
}

// Is implements what [errors.Is] asks for.
func (e *oversizedError) Is(target error) bool { return target == errOversized }

// checkSize returns an [oversizedError] when a ticket is too large for a response, and [errTogether] when the tickets are so together.
// Connect's own limit is one of what is sent, compressed or not, and does not tell which ticket it is.
func checkSize(tickets ...*ticketv1.Ticket) error {
	total := 0
	for _, t := range tickets {
		size := proto.Size(t)
		if size > maxTicketBytes {
			return &oversizedError{ticketID: t.GetTicketId()}
		}
		total += size
	}
	if total > maxTicketBytes {
		return errTogether
	}
	return nil
}
