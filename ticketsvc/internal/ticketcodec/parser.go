package ticketcodec

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// parser reads a sequence of varints and strings. After an error it returns zeros.
type parser struct {
	rest []byte
	err  error
}

// fail sets the error if there is none yet.
func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// take removes the n bytes of a value. It fails if n is negative, which means that there is no value.
func (p *parser) take(n int) bool {
	if n < 0 {
		p.fail(errMalformed)
	}
	if p.err != nil {
		return false
	}
	p.rest = p.rest[n:]
	return true
}

func (p *parser) number() uint64 {
	number, n := protowire.ConsumeVarint(p.rest)
	if !p.take(n) {
		return 0
	}
	return number
}

// count reads the number of items that follow. An item has at least one byte, so a number above the remaining bytes is malformed, and
// memory is never allocated for it.
func (p *parser) count() uint64 {
	n := p.number()
	if n > uint64(len(p.rest)) {
		p.fail(errMalformed)
		return 0
	}
	return n
}

// field reads the number of a field in the contract.
func (p *parser) field() ticket.Field {
	f, known := fieldsByNumber[p.number()]
	if !known {
		p.fail(ticket.ErrNewerVersion)
	}
	return f
}

func (p *parser) string() string {
	text, n := protowire.ConsumeBytes(p.rest)
	if !p.take(n) {
		return ""
	}
	return string(text)
}

func (p *parser) moment() ticket.Instant {
	i := ticket.Instant{Set: true, Seconds: protowire.DecodeZigZag(p.number()), Nanos: int32(p.number())}
	if !i.Valid() {
		p.fail(errMalformed)
	}
	return i
}

func (p *parser) optionalMoment() ticket.Instant {
	if p.number() == 0 {
		return ticket.Instant{}
	}
	return p.moment()
}

func (p *parser) end() error {
	if len(p.rest) > 0 {
		p.fail(errMalformed)
	}
	return p.err
}
