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
	// maxAnswersBytes is the maximum memory of all responses together, from before they are read from the database until they are sent. Half
	// of it is enough for one of the largest responses, in JSON too.
	maxAnswersBytes = 96 << 20
	// callBytes is the memory that each call takes: its goroutine, its header, its buffers, and a response of usual size. A stream of
	// WatchTickets releases it after it is registered as a watcher, because the number of watchers has its own limit.
	callBytes = 32 << 10
	// maxStrangersBytes is like maxAnswersBytes, for the health checks of callers without a token. It is enough for 256 calls at once, of
	// which half can come from one address.
	maxStrangersBytes = 256 * callBytes
)

// maxAnswerBytes is the maximum memory of a response with the largest ticket, before the response is converted to JSON. It is counted
// against the memory that one caller may hold. Each recorded ticket takes less.
const maxAnswerBytes = maxAnswersBytes/2 - callBytes - maxTicketBytes

// answerBytes returns the memory that a ticket or an event takes in a response. Its bytes are there three times: as they were read from the
// database, in memory, and as they are sent. A compressed response is a fourth copy, but the bytes from the database are free by then.
func answerBytes(w ticket.Weight) int { return w.Memory() + 2*w.Bytes }

// largeAnswerBytes is the size from which a response counts as an expensive read, because it takes long to read and to encode.
const largeAnswerBytes = 512 << 10

// answers limits the memory of all responses.
type answers struct {
	// strangers is for callers without a token. There can be one of them at each of many addresses.
	budget, strangers *limits.Budget
	reads             expensiveReads
	errors            errorTranslator
}

func newAnswers(errors errorTranslator) *answers {
	return &answers{budget: limits.NewBudget(maxAnswersBytes, maxRoomTime), strangers: limits.NewBudget(maxStrangersBytes, maxRoomTime),
		reads: newExpensiveReads(), errors: errors}
}

// answer is the memory of the response of one call.
type answer struct {
	grant *limits.Grant
	// needed is the number of bytes for which the call has asked.
	needed int64
	// large is set if the call was denied room for a large response because it does not run as an expensive read yet.
	large bool
	reads expensiveReads
	// running is the place of the call among the expensive reads until its response begins to be sent. Nil if it has none.
	running *limits.Grant
}

type answerKey struct{}

// answerOf returns the answer of the call of ctx, which must have passed through [answers.count].
func answerOf(ctx context.Context) *answer { return ctx.Value(answerKey{}).(*answer) }

// count gives each call its answer, and releases the memory of the answer after the response is sent.
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
			// A write error means that the connection is broken, so nobody can receive the error.
			_ = writer.Write(w, request, a.errors.translate(ctx, connect.Spec{}, err))
			return
		}
		defer grant.Release()
		a := &answer{grant: grant, reads: a.reads}
		defer a.begin()
		next.ServeHTTP(w, request.WithContext(context.WithValue(ctx, answerKey{}, a)))
	})
}

// roomForAnswer is the [ticket.Room] that allows whatever fits into a response.
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

// begin releases the place among the expensive reads. It is called if the response begins to be sent, the call waits, or there is no
// response.
func (a *answer) begin() {
	if a.running != nil {
		a.running.Release()
		a.running = nil
	}
}

// read calls f, which reads the database with the answer's room, until there is room for the result. While read waits for room, it holds no
// connection of the database. A read that is expensive, or has a large response, also waits for its turn. Errors: [errTooManyReads]; those
// of [limits.Grant.Grow]; those of f.
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
		case a.large && err == nil, a.large && errors.Is(err, limits.ErrNoRoom): // A page that lacks room ends early, without an error.
			expensive = true
		case !errors.Is(err, limits.ErrNoRoom):
			return err
		}
		a.begin() // Other reads of the caller can run while this one waits for memory.
		if err := a.grant.Grow(ctx, a.needed-a.grant.Bytes()); err != nil {
			return err
		}
	}
}

// check returns nil if the response can be sent and there is room for the conversion of the response to JSON, which [answer.room] does not
// count. tickets are those of the response. Errors: those of [checkSize] and [limits.Grant.Grow].
func (a *answer) check(ctx context.Context, response proto.Message, tickets ...*ticketv1.Ticket) error {
	if err := checkSize(ctx, tickets...); err != nil || !isAnsweredInJSON(ctx) {
		return err
	}
	return a.grant.Grow(ctx, int64(jsonBytes(response.ProtoReflect())))
}
