package rpc_test

import (
	"context"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestCheckLogPositions_namesThoseThatTheLogLacks(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"Connect", "gRPC"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, mustServe(t, mustOpenStore(t)), protocol)
			check := func(positions ...*ticketv1.LogPosition) *ticketv1.CheckLogPositionsResponse {
				t.Helper()
				response, err := c.CheckLogPositions(t.Context(), &ticketv1.CheckLogPositionsRequest{Positions: positions})
				if err != nil {
					t.Fatal(err)
				}
				return response
			}
			empty := check().GetLast()
			if empty.GetSequence() != 0 || len(empty.GetDatabaseId()) != 16 {
				t.Errorf("the last position of an empty log is %v", empty)
			}
			created, err := c.TicketCreated(t.Context(), created("e1", "t1", 1))
			if err != nil {
				t.Fatal(err)
			}
			updated, err := c.TicketUpdated(t.Context(), &ticketv1.TicketUpdatedRequest{Event: &ticketv1.EventMetadata{EventId: "e2",
				OccurTime: at(2)}, Ticket: &ticketv1.Ticket{TicketId: "t1"}})
			if err != nil {
				t.Fatal(err)
			}
			first, second := created.GetLogPosition(), updated.GetLogPosition()
			if first.GetSequence() != 1 || second.GetSequence() != 2 {
				t.Errorf("the events are at %v and %v", first, second)
			}
			changed := func(change func(*ticketv1.LogPosition)) *ticketv1.LogPosition {
				p := proto.Clone(first).(*ticketv1.LogPosition)
				change(p)
				return p
			}
			lacking := []*ticketv1.LogPosition{
				changed(func(p *ticketv1.LogPosition) { p.Sequence = 3 }),
				changed(func(p *ticketv1.LogPosition) { p.Sequence = -1 }),
				changed(func(p *ticketv1.LogPosition) { p.Fingerprint++ }),
				changed(func(p *ticketv1.LogPosition) { p.DatabaseId = []byte("another database") }),
				{},
			}
			want := &ticketv1.CheckLogPositionsResponse{Missing: lacking, Last: second}
			got := check(append(lacking, empty, second, first, first)...)
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			many := &ticketv1.CheckLogPositionsRequest{Positions: make([]*ticketv1.LogPosition, 1001)}
			if _, err := c.CheckLogPositions(t.Context(), many); connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("1001 positions: %v, want INVALID_ARGUMENT", err)
			}
		})
	}
}

// laggingStore is a standby that gets entries of the log after its last position was read.
type laggingStore struct {
	ticket.Store
	last ticket.LogPosition
}

// LastPosition implements [ticket.Log].
func (s laggingStore) LastPosition(context.Context) (ticket.LogPosition, error) { return s.last, nil }

// TestCheckLogPositions_lastIsNotBeforeAPositionThatIsHeld checks the last position. Callers rely on this: a log that holds the last
// position also holds all the requested positions that were reported as held.
func TestCheckLogPositions_lastIsNotBeforeAPositionThatIsHeld(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	primary := newClient(t, mustServe(t, store), "Connect")
	var positions []*ticketv1.LogPosition
	var marks []ticket.LogPosition
	for _, id := range []string{"e1", "e2", "e3"} {
		response, err := primary.TicketCreated(t.Context(), created(id, id, 1))
		if err != nil {
			t.Fatal(err)
		}
		mark, err := store.LastPosition(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		positions, marks = append(positions, response.GetLogPosition()), append(marks, mark)
	}
	standby := newClient(t, mustServe(t, laggingStore{store, marks[0]}), "Connect")
	wrong := proto.Clone(positions[2]).(*ticketv1.LogPosition)
	wrong.Fingerprint++
	got, err := standby.CheckLogPositions(t.Context(),
		&ticketv1.CheckLogPositionsRequest{Positions: []*ticketv1.LogPosition{positions[1], positions[0], wrong}})
	want := &ticketv1.CheckLogPositionsResponse{Missing: []*ticketv1.LogPosition{wrong}, Last: positions[1]}
	if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
