package rpc

import (
	"context"
	"errors"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const (
	// maxAnswersBytes is how much memory all answers take together, from before they are read from the database until they are sent. A half
	// of it has room for one of the largest, in JSON too.
	maxAnswersBytes = 96 << 20
	// callBytes is what a call takes whatever it answers: its goroutine, its header, its buffers, and an answer of a usual size. A stream of
	// WatchTickets gives it back once it is one of the watchers, whose number has a limit of its own.
	callBytes = 32 << 10
	// maxStrangersBytes is the same as maxAnswersBytes for the health checks of callers that show no token: it has room for 256 at
	// once, of which half can come from one address.
	maxStrangersBytes = 256 * callBytes
)

// maxAnswerBytes is what an answer with the largest ticket takes at most of the memory that one caller may hold, before it is in JSON. Each
// ticket that is recorded takes less.
const maxAnswerBytes = maxAnswersBytes/2 - callBytes - maxTicketBytes

// answerBytes returns what an answer takes for a ticket or an event in it. Its bytes are there three times: as they are read from the
// database, in memory, and as they are sent. A compressed answer is a fourth copy, but by then what was read is free.
func answerBytes(w ticket.Weight) int { return w.Memory() + 2*w.Bytes }

// largeAnswerBytes is from which size on an answer takes long to read and to make, as an expensive read does.
const largeAnswerBytes = 512 << 10

// answers bounds the memory of all answers.
type answers struct {
	// strangers is for callers that show no token, of whom there may be one at each of many addresses.
	budget, strangers *limits.Budget
	reads             expensiveReads
	errors            errorTranslator
}

func newAnswers(errors errorTranslator) *answers {
	return &answers{budget: limits.NewBudget(maxAnswersBytes, maxRoomTime), strangers: limits.NewBudget(maxStrangersBytes, maxRoomTime),
		reads: newExpensiveReads(), errors: errors}
}

// answer is the memory of one call's answer.
type answer struct {
	grant *limits.Grant
	// needed is how many bytes the call needs for what it has asked room for.
	needed int64
	// large tells whether the call has asked for room for a large answer before it was its turn, and had none.
	large bool
	reads expensiveReads
	// running is the place of the call among the expensive reads until its answer begins to be sent, nil without one.
	running *limits.Grant
}

type answerKey struct{}

// answerOf returns the answer of the call of ctx, which has passed through [answers.count].
func answerOf(ctx context.Context) *answer { return ctx.Value(answerKey{}).(*answer) }

// count gives each call its answer, and takes back the answer's memory once that is sent.
func (a *answers) count(next http.Handler) http.Handler {
	writer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		ctx := request.Context()
		budget, caller := a.budget, callerOf(ctx)
		if caller == limits.Unauthenticated {
			budget, caller = a.strangers, addressOf(request)
		}
		grant, err := budget.Take(ctx, caller, callBytes)
		if err != nil {
			// The connection ends where it breaks, and nobody is told.
			_ = writer.Write(w, request, a.errors.translate(ctx, connect.Spec{}, err))
			return
		}
		defer grant.Release()
		a := &answer{grant: grant, reads: a.reads}
		defer a.begin()
		next.ServeHTTP(w, request.WithContext(context.WithValue(ctx, answerKey{}, a)))
	})
}

// roomForAnswer is the [ticket.Room] that has room for what an answer can hold.
func roomForAnswer(ticketID string, w ticket.Weight) error {
	if w.Bytes > maxTicketBytes || answerBytes(w) > maxAnswerBytes {
		return &oversizedError{ticketID: ticketID}
	}
	return nil
}

// room is the [ticket.Room] of the answer.
func (a *answer) room(ticketID string, w ticket.Weight) error {
	if err := roomForAnswer(ticketID, w); err != nil {
		return err
	}
	a.needed += int64(answerBytes(w))
	if a.needed >= largeAnswerBytes && a.running == nil {
		a.large = true
		return limits.ErrNoRoom
	}
	if more := a.needed - a.grant.Bytes(); more > 0 && !a.grant.TryGrow(more) {
		return limits.ErrNoRoom
	}
	return nil
}

// begin gives back the place among the expensive reads: the answer begins to be sent, or waits, or there is none.
func (a *answer) begin() {
	if a.running != nil {
		a.running.Release()
		a.running = nil
	}
}

// read calls f, which reads the database with the answer's room, until there is room for what it reads. While it waits for room it holds no
// connection of the database. What is expensive, or becomes a large answer, then waits for its turn. Errors: [errTooManyReads]; those of
// [limits.Grant.Grow]; those of f.
func (a *answer) read(ctx context.Context, expensive bool, f func() error) error {
	if expensive {
		admitted, ok := a.reads.admitted.TryTake(callerOf(ctx), 1)
		if !ok {
			return errTooManyReads
		}
		defer admitted.Release()
	}
	for {
		if expensive && a.running == nil {
			endWork(ctx)
			running, err := a.reads.running.Take(ctx, callerOf(ctx), 1)
			if errors.Is(err, limits.ErrNoRoom) {
				return errTooManyReads
			}
			if err != nil {
				return err
			}
			a.running = running
		}
		a.needed, a.large = 0, false
		err := f()
		switch {
		case a.large && err == nil, a.large && errors.Is(err, limits.ErrNoRoom): // A page without room for all ends early.
			expensive = true
		case !errors.Is(err, limits.ErrNoRoom):
			return err
		}
		a.begin() // Others of the caller run while this one waits for memory.
		if err := a.grant.Grow(ctx, a.needed-a.grant.Bytes()); err != nil {
			return err
		}
	}
}

// check returns nil when the response can be sent, and has room for what it becomes then, beyond that which [answer.room] counted. tickets
// are those of the response. Errors: those of [checkSize] and [limits.Grant.Grow].
func (a *answer) check(ctx context.Context, response proto.Message, tickets ...*ticketv1.Ticket) error {
	if err := checkSize(ctx, tickets...); err != nil || !isAnsweredInJSON(ctx) {
		return err
	}
	return a.grant.Grow(ctx, int64(jsonBytes(response.ProtoReflect())))
}
