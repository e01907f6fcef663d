package rpc

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// errSlow says that a watcher did not read for too long.
var errSlow = errors.New("the watcher did not read for too long")

// errOtherDatabase says that a resume token is one of another database.
var errOtherDatabase = errors.New("the resume token is one of another database")

// streamLimits bound what a caller that does not read can hold.
type streamLimits struct {
	// stall is how long a caller of a unary RPC may read nothing of its answer.
	stall time.Duration
	// slow is how long the sending of one message may take: when it is over the stream ends. Callers are told of it.
	slow time.Duration
	// stuck is for how long the caller may read nothing of a message: when it is over the stream is cut off. It is much longer than the time
	// between two heartbeats.
	stuck time.Duration
	// stopping is the same once the service stops.
	stopping time.Duration
	// admission is the least time between two looks at whether the caller's token still counts.
	admission time.Duration
	// refusal is how long a caller that has all its watchers waits at most until it is told so.
	refusal time.Duration
}

// smallMessageBytes is up to which size messages are not counted: the number of watchers limits theirs.
const smallMessageBytes = 4 << 10

var defaultStreamLimits = streamLimits{stall: maxStallTime, slow: 30 * time.Second, stuck: 45 * time.Second, stopping: 2 * time.Second,
	admission: time.Second, refusal: 15 * time.Second}

// WatchTickets implements the RPC of that name.
func (s *ticketService) WatchTickets(ctx context.Context, request *ticketv1.WatchTicketsRequest,
	stream *connect.ServerStream[ticketv1.WatchTicketsResponse],
) error {
	filter, err := ticketpb.ToFilter(request.GetFilter())
	if err != nil {
		return err
	}
	query, database := watchQuery(&filter), s.store.DatabaseID()
	from, err := resumePoint(query, database, request.GetResumeToken())
	if err != nil {
		return err
	}
	releaseRequest(ctx)
	endWork(ctx)
	watcher, err := s.feed.Watch(ctx, callerOf(ctx), filter, from)
	if err != nil {
		if errors.Is(err, watch.ErrTooManyOfCaller) {
			s.waitToRefuse(ctx)
		}
		return err
	}
	defer watcher.Close()
	answerOf(ctx).grant.Release()
	if paced, ok := ctx.Value(pacedKey{}).(*pacedWriter); ok {
		defer paced.shortenAfter(s.feed.Stopping(), s.streams.stopping)()
	}
	checked := time.Now()
	for {
		message, err := watcher.Next(ctx)
		if err != nil {
			return err
		}
		begin := time.Now()
		if begin.Sub(checked) >= s.streams.admission {
			if err := checkAuthorization(ctx); err != nil {
				return err
			}
			checked = begin
		}
		response := watchResponse(&message)
		response.ResumeToken = encodeToken(query, encodeResumePoint(database, &message.ResumePoint))
		if err := s.send(ctx, stream, &message, response); err != nil {
			return err
		}
		if time.Since(begin) > s.streams.slow {
			return errSlow
		}
	}
}

// waitToRefuse waits until a caller that has all its watchers is told so: one that asks again at once would keep a processor busy.
func (s *ticketService) waitToRefuse(ctx context.Context) {
	timer := time.NewTimer(limits.Spread(s.streams.refusal))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.feed.Stopping().Done():
	case <-ctx.Done():
	}
}

// send sends a message once there is room for it: watchers share what they are told, and each has what is sent to itself.
func (s *ticketService) send(ctx context.Context, stream *connect.ServerStream[ticketv1.WatchTicketsResponse], m *watch.Message,
	response *ticketv1.WatchTicketsResponse,
) error {
	size := 0
	if t := response.GetChange().GetTicket(); t != nil {
		// What the log says of its size saves looking at each ticket again for every watcher.
		if m.Entry == nil || m.Entry.Weight.Bytes > surelySentBytes {
			if err := checkSize(ctx, t); err != nil {
				return err
			}
		}
		switch {
		case isAnsweredInJSON(ctx):
			size = jsonBytes(response.ProtoReflect())
		case m.Entry != nil:
			size = m.Entry.Weight.Bytes
		default:
			size = proto.Size(t)
		}
	}
	if size <= smallMessageBytes {
		return stream.Send(response)
	}
	grant := answerOf(ctx).grant
	// It is sent compressed too.
	if err := grant.Grow(ctx, int64(2*size)); err != nil {
		return err
	}
	defer grant.Release()
	return stream.Send(response)
}

// resumePoint returns the resume point of a token, nil for an empty one. The error is a [*ticket.InvalidError], or
// [errOtherDatabase].
func resumePoint(query []byte, database ticket.DatabaseID, token string) (*watch.ResumePoint, error) {
	if token == "" {
		return nil, nil
	}
	if raw, ok := decodeToken(query, token); ok {
		if of, point, ok := decodeResumePoint(raw); ok {
			if of != database {
				return nil, errOtherDatabase
			}
			return &point, nil
		}
	}
	var violations ticket.Violations
	violations.Add("resume_token", "must be the resume_token of a message of the same filter")
	return nil, violations.Err()
}

// watchResponse returns the contract's message for m, without its token. What all watchers are told of an entry they share.
func watchResponse(m *watch.Message) *ticketv1.WatchTicketsResponse {
	response := &ticketv1.WatchTicketsResponse{}
	switch {
	case m.Kind == watch.Heartbeat:
		response.Message = &ticketv1.WatchTicketsResponse_Heartbeat{Heartbeat: &ticketv1.Heartbeat{
			SendTime: timestamppb.Now(), Snapshot: m.ResumePoint.Snapshot,
		}}
	case m.Kind == watch.Change && m.Entry != nil:
		response.Message = m.Entry.Rendered(renderChange).(*ticketv1.WatchTicketsResponse_Change)
	case m.Kind == watch.Change:
		response.Message = &ticketv1.WatchTicketsResponse_Change{Change: &ticketv1.TicketChange{Ticket: ticketcodec.FromTicket(m.Ticket)}}
	default:
		reason := ticketv1.TicketRemoved_REASON_NO_LONGER_MATCHES
		if m.Kind == watch.Erased {
			reason = ticketv1.TicketRemoved_REASON_ERASED
		}
		response.Message = &ticketv1.WatchTicketsResponse_Removed{
			Removed: &ticketv1.TicketRemoved{TicketId: m.Entry.Event.TicketID, Reason: reason},
		}
	}
	return response
}

func renderChange(e *watch.Entry) any {
	return &ticketv1.WatchTicketsResponse_Change{
		Change: &ticketv1.TicketChange{Event: ticketpb.FromEvent(&e.Event), Ticket: ticketcodec.FromTicket(e.Ticket)},
	}
}
