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

// errSlow is returned if a watcher did not read for too long.
var errSlow = errors.New("the watcher did not read for too long")

// errOtherDatabase is returned if a resume token is one of another database.
var errOtherDatabase = errors.New("the resume token is one of another database")

// streamLimits limits what a caller that does not read can hold.
type streamLimits struct {
	// stall is the maximum time for which a caller of a unary RPC may read nothing of its response.
	stall time.Duration
	// slow is the maximum time to send one message. After it the stream ends with an error that callers get.
	slow time.Duration
	// stuck is the maximum time for which the caller may read nothing of a message. After it the stream is cut off. It is much longer than the
	// time between two heartbeats.
	stuck time.Duration
	// stopping replaces stuck while the service stops.
	stopping time.Duration
	// recheck is the minimum time between two checks whether the caller's token is still valid.
	recheck time.Duration
	// refusalDelay is the maximum time until a caller that has reached its limit of watchers gets the error.
	refusalDelay time.Duration
}

// smallMessageBytes is the maximum size of a message that is not counted: the number of watchers limits the memory of these.
const smallMessageBytes = 4 << 10

var defaultStreamLimits = streamLimits{stall: maxStallTime, slow: 30 * time.Second, stuck: 45 * time.Second, stopping: 2 * time.Second,
	recheck: time.Second, refusalDelay: 15 * time.Second}

// WatchTickets implements the RPC of that name.
func (s *ticketService) WatchTickets(ctx context.Context, request *ticketv1.WatchTicketsRequest,
	stream *connect.ServerStream[ticketv1.WatchTicketsResponse],
) error {
	filter, err := ticketpb.ToFilter(request.GetFilter())
	if err != nil {
		return err
	}
	query, database := watchQuery(&filter), s.store.DatabaseID()
	from, err := decodeResumeToken(query, database, request.GetResumeToken())
	if err != nil {
		return err
	}
	releaseRequestMemory(ctx)
	releaseCallSlot(ctx)
	watcher, err := s.feed.Watch(ctx, callerOf(ctx), filter, from)
	if err != nil {
		if errors.Is(err, watch.ErrTooManyOfCaller) {
			s.waitToRefuse(ctx)
		}
		return err
	}
	defer watcher.Close()
	responseMemoryOf(ctx).grant.Release()
	if writer, ok := ctx.Value(deadlineWriterKey{}).(*deadlineWriter); ok {
		defer writer.shortenAfter(s.feed.Stopping(), s.streams.stopping)()
	}
	checked := time.Now()
	for {
		message, err := watcher.Next(ctx)
		if err != nil {
			return err
		}
		begin := time.Now()
		if begin.Sub(checked) >= s.streams.recheck {
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

// waitToRefuse waits before a caller that has reached its limit of watchers gets the error: a caller that retries at once would keep a
// processor busy.
func (s *ticketService) waitToRefuse(ctx context.Context) {
	timer := time.NewTimer(limits.Spread(s.streams.refusalDelay))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.feed.Stopping().Done():
	case <-ctx.Done():
	}
}

// send sends a message when there is memory for it. Watchers share the message in memory, but each has its own copy of the sent bytes.
func (s *ticketService) send(ctx context.Context, stream *connect.ServerStream[ticketv1.WatchTicketsResponse], m *watch.Message,
	response *ticketv1.WatchTicketsResponse,
) error {
	size := 0
	if t := response.GetChange().GetTicket(); t != nil {
		// The weight in the log entry avoids measuring the ticket again for every watcher.
		if m.Entry == nil || m.Entry.Weight.Bytes > alwaysFitsBytes {
			if err := checkSize(ctx, t); err != nil {
				return err
			}
		}
		switch {
		case respondsInJSON(ctx):
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
	grant := responseMemoryOf(ctx).grant
	// There is a compressed copy too.
	if err := grant.Grow(ctx, int64(2*size)); err != nil {
		return err
	}
	defer grant.Release()
	return stream.Send(response)
}

// decodeResumeToken returns the resume point of a token, and nil for an empty token. The error is a [*ticket.InvalidError], or
// [errOtherDatabase].
func decodeResumeToken(query []byte, database ticket.DatabaseID, token string) (*watch.ResumePoint, error) {
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

// watchResponse returns the contract's message for m, without its token. All watchers share the message of a log entry.
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
