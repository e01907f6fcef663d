package rpc

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/feed"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
)

// errSlow says that a watcher did not read for too long.
var errSlow = errors.New("the watcher did not read for too long")

// streamLimits bound what a watcher that does not read can hold.
type streamLimits struct {
	// slow is how long the sending of one message may take: when it is over the stream ends. Callers are told of it.
	slow time.Duration
	// stuck is after what time the sending of a message is cut off. It is much longer than the time between two heartbeats: HTTP/2 ends a
	// stream at its deadline, whether or not anything is being sent.
	stuck time.Duration
	// stopping is the same once the service stops.
	stopping time.Duration
	// admission is the least time between two looks at whether the caller's token still counts.
	admission time.Duration
}

var defaultStreamLimits = streamLimits{slow: 30 * time.Second, stuck: 2 * time.Minute, stopping: 2 * time.Second, admission: time.Second}

// WatchTickets implements the RPC of that name.
func (s *ticketService) WatchTickets(ctx context.Context, request *ticketv1.WatchTicketsRequest,
	stream *connect.ServerStream[ticketv1.WatchTicketsResponse],
) error {
	filter, err := ticketpb.ToFilter(request.GetFilter())
	if err != nil {
		return err
	}
	query, database := watchQuery(&filter), s.store.DatabaseID()
	from, err := resumePlace(query, database, request.GetResumeToken())
	if err != nil {
		return err
	}
	releaseRequest(ctx)
	watcher, err := s.feed.Watch(ctx, callerOf(ctx), filter, from)
	if err != nil {
		return err
	}
	defer watcher.Close()
	patience := newPatience(ctx, s.feed.Stopping(), s.streams)
	defer patience.end()
	checked := time.Now()
	for {
		message, err := watcher.Next(ctx)
		if err != nil {
			return err
		}
		begin := time.Now()
		if begin.Sub(checked) >= s.streams.admission {
			if err := checkAdmission(ctx); err != nil {
				return err
			}
			checked = begin
		}
		patience.renew(begin)
		response := watchResponse(&message)
		// What the log says of its size saves looking at each ticket again for every watcher.
		if message.Entry == nil || message.Entry.Bytes > surelySentBytes {
			if err := checkSize(ctx, response.GetChange().GetTicket()); err != nil {
				return err
			}
		}
		response.ResumeToken = encodeToken(query, encodePlace(database, &message.Place))
		if err := stream.Send(response); err != nil {
			return err
		}
		if time.Since(begin) > s.streams.slow {
			return errSlow
		}
	}
}

// resumePlace returns the place that a resume token stands for, nil for an empty one. The error is a [*ticket.InvalidError], or
// [feed.ErrPlace] when the token is one of another database.
func resumePlace(query []byte, database ticket.DatabaseID, token string) (*feed.Place, error) {
	if token == "" {
		return nil, nil
	}
	if raw, ok := decodeToken(query, token); ok {
		if of, place, ok := decodePlace(raw); ok {
			if of != database {
				return nil, feed.ErrPlace
			}
			return &place, nil
		}
	}
	var violations ticket.Violations
	violations.Add("resume_token", "must be the resume_token of a message of the same filter")
	return nil, violations.Err()
}

// watchResponse returns the contract's message for m, without its token. What all watchers are told of an entry they share.
func watchResponse(m *feed.Message) *ticketv1.WatchTicketsResponse {
	response := &ticketv1.WatchTicketsResponse{}
	switch {
	case m.Kind == feed.Heartbeat:
		response.Message = &ticketv1.WatchTicketsResponse_Heartbeat{Heartbeat: &ticketv1.Heartbeat{
			SendTime: timestamppb.Now(), Walking: m.Place.Walking,
		}}
	case m.Kind == feed.Change && m.Entry != nil:
		response.Message = m.Entry.Rendered(renderChange).(*ticketv1.WatchTicketsResponse_Change)
	case m.Kind == feed.Change:
		response.Message = &ticketv1.WatchTicketsResponse_Change{Change: &ticketv1.TicketChange{Ticket: ticketpb.FromTicket(m.Ticket)}}
	default:
		reason := ticketv1.TicketLeft_REASON_NO_LONGER_MATCHES
		if m.Kind == feed.Erased {
			reason = ticketv1.TicketLeft_REASON_ERASED
		}
		response.Message = &ticketv1.WatchTicketsResponse_Left{Left: &ticketv1.TicketLeft{TicketId: m.Entry.Event.TicketID, Reason: reason}}
	}
	return response
}

func renderChange(e *feed.Entry) any {
	return &ticketv1.WatchTicketsResponse_Change{
		Change: &ticketv1.TicketChange{Event: ticketpb.FromEvent(&e.Event), Ticket: ticketpb.FromTicket(e.Ticket)},
	}
}

// controllerKey is the key under which the context of a stream has its [http.ResponseController].
type controllerKey struct{}

// withController lets streams bound the time that a write takes.
func withController(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path == ticketv1connect.TicketServiceWatchTicketsProcedure {
			request = request.WithContext(context.WithValue(request.Context(), controllerKey{}, http.NewResponseController(w)))
		}
		next.ServeHTTP(w, request)
	})
}

// patience cuts off a stream whose caller does not read: some time after the last message was begun, and sooner once the service stops.
// Without that a call to send would never return.
type patience struct {
	limits     streamLimits
	controller *http.ResponseController
	// disarm keeps the service's stop from shortening the time, or returns false when that has begun; shortened is closed once it is done.
	disarm    func() bool
	shortened chan struct{}

	mu       sync.Mutex
	until    time.Time
	stopping bool
}

func newPatience(ctx, stopping context.Context, limits streamLimits) *patience {
	controller, _ := ctx.Value(controllerKey{}).(*http.ResponseController)
	p := &patience{limits: limits, controller: controller, shortened: make(chan struct{})}
	p.disarm = context.AfterFunc(stopping, p.shorten)
	return p
}

// renew gives the message that begins now its time. The deadline moves in steps, since each costs as much as a small message.
func (p *patience) renew(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopping && p.until.Sub(now) < p.limits.stuck {
		p.set(now.Add(p.limits.stuck + p.limits.stuck/4))
	}
}

func (p *patience) shorten() {
	defer close(p.shortened)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	p.set(time.Now().Add(p.limits.stopping))
}

func (p *patience) set(until time.Time) {
	p.until = until
	if p.controller != nil {
		// A server's connection takes deadlines, so it can't fail.
		_ = p.controller.SetWriteDeadline(until)
	}
}

// end returns once the response is not touched any more.
func (p *patience) end() {
	if !p.disarm() {
		<-p.shortened
	}
}
