package rpc_test

import (
	"fmt"
	"slices"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// listErasures lists all erasures after a position. It returns the position after the last one.
func listErasures(t *testing.T, c client, position *ticketv1.LogPosition) (erasures []*ticketv1.Erasure,
	last *ticketv1.LogPosition) {
	t.Helper()
	for {
		page, err := c.ListErasures(t.Context(), &ticketv1.ListErasuresRequest{Position: position})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.GetErasures()) == 0 {
			if !proto.Equal(page.GetPosition(), position) {
				t.Errorf("an empty page has the position %v, want the request's %v", page.GetPosition(), position)
			}
			return erasures, position
		}
		erasures, position = append(erasures, page.GetErasures()...), page.GetPosition()
	}
}

func ticketIDs(erasures []*ticketv1.Erasure) []string {
	ids := make([]string, len(erasures))
	for i, e := range erasures {
		ids[i] = e.GetTicketId()
	}
	return ids
}

func TestListErasures(t *testing.T) {
	t.Parallel()
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stores := open(t)
			store := stores[len(stores)-1]
			c := newClient(t, mustServe(t, stores[0]), "Connect")
			if erasures, position := listErasures(t, c, nil); len(erasures) > 0 || position != nil {
				t.Errorf("before any: %v, position %v", erasures, position)
			}
			var want []string
			for i := range 250 {
				want = append(want, fmt.Sprintf("t%d", i))
			}
			if _, err := store.Erase(t.Context(), want...); err != nil {
				t.Fatal(err)
			}
			erasures, position := listErasures(t, c, nil)
			if diff := cmp.Diff(want, ticketIDs(erasures)); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
			if _, err := store.Erase(t.Context(), "t1", "later"); err != nil {
				t.Fatal(err)
			}
			if erasures, _ := listErasures(t, c, position); !slices.Equal(ticketIDs(erasures), []string{"later"}) {
				t.Errorf("after the position: %v, want the later one", erasures)
			}
		})
	}
}

// TestListErasures_otherLog uses the position of another database, and invalid positions.
func TestListErasures_otherLog(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	other := mustOpenStore(t)
	c := newClient(t, mustServe(t, other), "gRPC")
	for _, s := range []ticket.Store{store, other} {
		if _, err := s.Erase(t.Context(), "t1"); err != nil {
			t.Fatal(err)
		}
	}
	_, position := listErasures(t, newClient(t, mustServe(t, store), "gRPC"), nil)
	_, ours := listErasures(t, c, nil)
	for _, position := range []*ticketv1.LogPosition{position, {},
		{DatabaseId: ours.GetDatabaseId(), Sequence: ours.GetSequence(), Fingerprint: ours.GetFingerprint() + 1},
		{DatabaseId: ours.GetDatabaseId(), Sequence: ours.GetSequence() + 1, Fingerprint: ours.GetFingerprint()},
		{DatabaseId: ours.GetDatabaseId(), Sequence: -1}, {DatabaseId: ours.GetDatabaseId(), Fingerprint: 1}} {
		got, err := c.ListErasures(t.Context(), &ticketv1.ListErasuresRequest{Position: position})
		if connect.CodeOf(err) != connect.CodeOutOfRange {
			t.Errorf("ListErasures after %v = %v, %v; want OUT_OF_RANGE", position, got, err)
		}
	}
}

func TestRepeatErasures(t *testing.T) {
	t.Parallel()
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stores := open(t)
			store := stores[0]
			c := newClient(t, mustServe(t, store), "Connect")
			if _, err := c.TicketCreated(t.Context(), created("e1", "t1", 1)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.TicketCreated(t.Context(), created("e2", "kept", 1)); err != nil {
				t.Fatal(err)
			}
			// This is the state after a restore: the database has the key, but not the erasure.
			receipt := store.ReceiptKey().Receipt("t1")
			erasures := []*ticketv1.Erasure{{TicketId: "t1", Receipt: receipt}, {TicketId: "kept", Receipt: receipt}, {TicketId: "kept"},
				{TicketId: "t1", Receipt: ticket.ReceiptKey{}.Receipt("t1")}}
			for range 2 {
				response, err := c.RepeatErasures(t.Context(), &ticketv1.RepeatErasuresRequest{Erasures: erasures})
				if err != nil || !slices.Equal(response.GetRefusedTicketIds(), []string{"kept", "kept", "t1"}) {
					t.Errorf("RepeatErasures = %v, %v; want those refused that have no valid receipt", response, err)
				}
			}
			if _, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "t1"}); connect.CodeOf(err) != connect.CodeNotFound {
				t.Errorf("GetTicket = %v, want NOT_FOUND", err)
			}
			if _, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "kept"}); err != nil {
				t.Errorf("the ticket that nobody erased: %v", err)
			}
			if erasures, _ := listErasures(t, c, nil); !slices.Equal(ticketIDs(erasures), []string{"t1"}) {
				t.Errorf("erasures %v, want that of t1 once", erasures)
			}
		})
	}
}

func TestRepeatErasures_invalid(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, mustOpenStore(t)), "gRPC")
	for name, erasures := range map[string][]*ticketv1.Erasure{
		"too many": make([]*ticketv1.Erasure, 101),
		"no id":    {{Receipt: []byte("x")}},
	} {
		for i := range erasures {
			if erasures[i] == nil {
				erasures[i] = &ticketv1.Erasure{TicketId: "t"}
			}
		}
		if response, err := c.RepeatErasures(t.Context(), &ticketv1.RepeatErasuresRequest{Erasures: erasures}); connect.CodeOf(err) !=
			connect.CodeInvalidArgument {
			t.Errorf("%s: %v, %v; want INVALID_ARGUMENT", name, response, err)
		}
	}
}
