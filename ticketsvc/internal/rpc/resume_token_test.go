package rpc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// expectRefused fails if a token is not rejected with a code.
func expectRefused(t *testing.T, c client, what, token string, filter *ticketv1.TicketFilter, want connect.Code) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := c.WatchTickets(ctx, &ticketv1.WatchTicketsRequest{ResumeToken: token, Filter: filter})
	if err == nil {
		if stream.Receive() {
			t.Errorf("with a token %s the stream says %s, want %v", what, said(stream.Msg()), want)
		}
		err = stream.Err()
		cancel()
		_ = stream.Close()
	}
	if connect.CodeOf(err) != want {
		t.Errorf("with a token %s: %v, want %v", what, err, want)
	}
}

func TestResumeToken_onlyForItsFilter(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	c := newClient(t, mustServe(t, store), "gRPC")
	mustRecord(t, store, titled("e1", "a", 1, "one"), titled("e2", "b", 2, "two"))
	filter := &ticketv1.TicketFilter{AppIds: []string{"", "x"}}
	s := mustWatch(t, c, "", filter)
	s.expect(t, `a "one"`)
	inSnapshot := s.token
	s.expect(t, `b "two"`, "heartbeat")
	inLog := s.token
	same := &ticketv1.TicketFilter{AppIds: []string{"x", "", "x"}}
	mustWatch(t, c, inSnapshot, same).expect(t, `b "two"`)
	mustWatch(t, c, inLog, same).expect(t, "heartbeat")
	page, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{PageSize: 1, Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	invalid := func(what, token string, filter *ticketv1.TicketFilter) {
		t.Helper()
		expectRefused(t, c, what, token, filter, connect.CodeInvalidArgument)
	}
	invalid("of a page", page.GetNextPageToken(), filter)
	for _, token := range []string{inSnapshot, inLog} {
		invalid("of another filter", token, nil)
		invalid("of a filter with the ids elsewhere", token, &ticketv1.TicketFilter{CategoryIds: []string{"", "x"}})
		invalid("with something added", token+"AA", filter)
		invalid("with padding", token+"=", filter)
		invalid("with a line break", token+"\n", filter)
		invalid("cut short", token[:len(token)-4], filter)
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			changed := bytes.Clone(raw)
			changed[i] ^= 1
			invalid(fmt.Sprintf("with byte %d changed", i), base64.RawURLEncoding.EncodeToString(changed), filter)
		}
	}
}

// TestResumeToken_invalidPositions makes tokens with a correct checksum and an impossible resume point.
func TestResumeToken_invalidPositions(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	c := newClient(t, mustServe(t, store), "gRPC")
	for what, place := range map[string]watch.ResumePoint{
		"of a negative place":           {Position: ticket.LogPosition{Sequence: -1}},
		"with an id after the snapshot": {TicketID: "a"},
		"with an id that is too long":   {Snapshot: true, TicketID: strings.Repeat("x", ticket.MaxIDBytes+1)},
	} {
		expectRefused(t, c, what, rpc.ResumeToken(ticket.Filter{}, store.DatabaseID(), place), nil, connect.CodeInvalidArgument)
	}
}

// TestResumeToken_ofAnotherDatabase has a database that continues from a backup, with other events.
func TestResumeToken_ofAnotherDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	open := func(path string) (ticket.Store, client) {
		store, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store, newClient(t, mustServe(t, store), "Connect")
	}
	first, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	mustRecord(t, first, titled("e1", "a", 1, "one"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := os.WriteFile(backup, content, 0o600); err != nil {
		t.Fatal(err)
	}
	store, c := open(path)
	s := mustWatch(t, c, "", nil)
	s.expect(t, `a "one"`, "heartbeat")
	tokens := []string{s.token}
	for i := 2; i <= 4; i++ {
		mustRecord(t, store, titled(fmt.Sprint("e", i), "a", int64(i), fmt.Sprint(i)))
		s.expect(t, fmt.Sprintf(`%d e%d: a "%d"`, i, i, i))
		tokens = append(tokens, s.token)
	}
	restored, other := open(backup)
	mustRecord(t, restored, titled("x2", "a", 2, "x"), titled("e3", "b", 3, "3"))
	mustWatch(t, other, tokens[0], nil).expect(t, `2 x2: a "x"`, `3 e3: b "3"`)
	expectRefused(t, other, "of another event at its place", tokens[1], nil, connect.CodeOutOfRange)
	expectRefused(t, other, "of an event of another ticket at its place", tokens[2], nil, connect.CodeOutOfRange)
	expectRefused(t, other, "ahead of the log", tokens[3], nil, connect.CodeOutOfRange)
	_, foreign := open(filepath.Join(t.TempDir(), "other.db"))
	for _, token := range tokens {
		expectRefused(t, foreign, "of another database", token, nil, connect.CodeOutOfRange)
	}
	if err := connectError(t, foreign, tokens[0]); !strings.Contains(err.Error(), "start again without one") {
		t.Errorf("the error is %v, want what to do", err)
	}
}

func connectError(t *testing.T, c client, token string) error {
	t.Helper()
	stream, err := c.WatchTickets(t.Context(), &ticketv1.WatchTicketsRequest{ResumeToken: token})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	stream.Receive()
	return stream.Err()
}

// TestTokens_stayValid has tokens of the first version. Callers keep their tokens for any time, so these tokens must always stay valid.
func TestTokens_stayValid(t *testing.T) {
	t.Parallel()
	later := ticket.Event{Sequence: 259, EventID: "later", TicketID: "ticket", Name: ticket.Updated}
	event := ticket.Event{Sequence: 258, EventID: "event", TicketID: "ticket", Name: ticket.Updated}
	all := ticket.Filter{Statuses: []ticket.Status{ticket.StatusUnspecified, ticket.StatusClosed}, AppIDs: []string{"a", "b"},
		CategoryIDs: []string{"c"}, PropertyIDs: []string{"p"}, AssigneeID: "u", UpdatedAfter: tickettest.At(1), UpdatedBefore: tickettest.At(2)}
	database := ticket.DatabaseID{1, 2, 3}
	for _, test := range []struct {
		filter ticket.Filter
		place  watch.ResumePoint
		want   string
	}{
		{ticket.Filter{}, watch.ResumePoint{}, "AeO8lAa_5fiYMgSKigECAwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
		{ticket.Filter{}, watch.ResumePoint{Position: event.Position(7)}, "AcbFFvTlvEfE2b6wnAECAwAAAAAAAAAAAAAAAAAAAAAAAAAAAQL2T6_9KpNtjg"},
		{ticket.Filter{Unassigned: true}, watch.ResumePoint{Position: event.Position(7), Snapshot: true, TicketID: "5f0c1e2d3b4a596877660101"},
			"AVuBnpYvrVqTDelxtAECAwAAAAAAAAAAAAAAAAABAAAAAAAAAQL2T6_9KpNtjjVmMGMxZTJkM2I0YTU5Njg3NzY2MDEwMQ"},
		{ticket.Filter{}, watch.ResumePoint{Position: event.Position(7), Seen: later.Position(7)},
			"AS8qj5B_oGwyW1McMwECAwAAAAAAAAAAAAAAAAACAAAAAAAAAQL2T6_9KpNtjgAAAAAAAAEDaxE2ypKGmXw"},
		{ticket.Filter{Text: "heiz kalt"}, watch.ResumePoint{Position: event.Position(7)},
			"AQfcC0R5Em6YGpoKGwECAwAAAAAAAAAAAAAAAAAAAAAAAAAAAQL2T6_9KpNtjg"},
		{all, watch.ResumePoint{Position: event.Position(7), Snapshot: true}, "Afo9npDkAoC2STaSvAECAwAAAAAAAAAAAAAAAAABAAAAAAAAAQL2T6_9KpNtjg"},
	} {
		if got := rpc.ResumeToken(test.filter, database, test.place); got != test.want {
			t.Errorf("filter %+v, place %+v: %s, want %s", test.filter, test.place, got, test.want)
		}
	}
}

func FuzzResumeToken(f *testing.F) {
	log := slog.New(slog.DiscardHandler)
	stub := stubStore{call: func(context.Context) error { return nil }}
	service := rpc.New(stub, func(context.Context) error { return nil }, log)
	f.Cleanup(func() { _ = service.Close(context.Background()) })
	handler := service.NewServer(rpc.Security{}, log).Handler
	f.Add("AQ")
	f.Add(base64.RawURLEncoding.EncodeToString(append([]byte{1}, make([]byte, 45)...)))
	f.Add(rpc.ResumeToken(ticket.Filter{}, ticket.DatabaseID{2}, watch.ResumePoint{}))
	f.Add(rpc.ResumeToken(ticket.Filter{}, stub.DatabaseID(), watch.ResumePoint{Position: ticket.LogPosition{Sequence: -1}}))
	f.Fuzz(func(t *testing.T, token string) {
		message, err := protojson.Marshal(&ticketv1.WatchTicketsRequest{ResumeToken: token})
		if err != nil || token == "" {
			return // No client can send a token that is not UTF-8. Without a token the stream does not end.
		}
		body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
		request := httptest.NewRequest(http.MethodPost, "http://localhost/allthings.ticket.v1.TicketService/WatchTickets", bytes.NewReader(body))
		request.Header.Set("Content-Type", "application/connect+json")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		end, err := io.ReadAll(answer.Body)
		if err != nil || !bytes.Contains(end, []byte(`"code":"invalid_argument"`)) && !bytes.Contains(end, []byte(`"code":"out_of_range"`)) {
			t.Errorf("token %q: %q, %v; want INVALID_ARGUMENT or OUT_OF_RANGE", token, end, err)
		}
	})
}
