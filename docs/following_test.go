// Package docs_test holds the code of the guide in following-tickets.md, so that it compiles, runs, and stays what the guide says.
package docs_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite" // the driver

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

// Follow keeps the copy in sync until ctx ends, or something is wrong that does not pass.
func Follow(ctx context.Context, client ticketv1connect.TicketServiceClient, tickets Copy) error {
	for failures := 0; ; failures++ {
		heard, err := followOnce(ctx, client, tickets)
		if heard {
			failures = 0
		}
		switch connect.CodeOf(err) {
		case connect.CodeOutOfRange:
			err = tickets.StartAgain(ctx)
		case connect.CodeInvalidArgument, connect.CodeUnimplemented:
			return err // A mistake of ours: another filter than the token's, or a ticketsvc that is too old.
		}
		if errors.Is(err, errCopy) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(rand.N(min(30*time.Second, 500*time.Millisecond<<min(failures, 6)))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// followOnce applies the messages of one stream until the stream ends. It reports whether there was a message, and returns the reason of
// the end.
func followOnce(ctx context.Context, client ticketv1connect.TicketServiceClient, tickets Copy) (heard bool, err error) {
	streaming, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(time.Minute, cancel) // A heartbeat comes every 15 s, so a minute of silence is an error.
	defer silence.Stop()

	token, err := tickets.Token(ctx)
	if err != nil {
		return false, err
	}
	stream, err := client.WatchTickets(streaming, &ticketv1.WatchTicketsRequest{ResumeToken: token})
	if err != nil {
		return false, err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		silence.Reset(time.Minute)
		if err := tickets.Apply(ctx, stream.Msg()); err != nil {
			return heard, err
		}
		heard = true
	}
	return heard, stream.Err()
}

// Copy is a copy of all tickets in a database.
type Copy struct{ db *sql.DB }

const schema = `
CREATE TABLE tickets  (ticket_id text PRIMARY KEY, revision bigint NOT NULL, snapshot bigint NOT NULL, ticket blob NOT NULL);
CREATE INDEX tickets_by_snapshot ON tickets (snapshot);
CREATE TABLE progress (token text NOT NULL, snapshot bigint NOT NULL);
INSERT INTO progress VALUES ('', 1);`

// Apply stores the content of a message and its token, in one transaction.
func (c Copy) Apply(ctx context.Context, message *ticketv1.WatchTicketsResponse) error {
	return c.inTransaction(ctx, func(tx *sql.Tx) error {
		change, removed := message.GetChange(), message.GetRemoved()
		if change != nil {
			if err := put(ctx, tx, change.GetTicket()); err != nil {
				return err
			}
		}
		if removed != nil {
			if _, err := tx.ExecContext(ctx, "DELETE FROM tickets WHERE ticket_id = $1", removed.GetTicketId()); err != nil {
				return err
			}
		}
		if message.GetHeartbeat() != nil && !message.GetHeartbeat().GetSnapshot() {
			// This heartbeat ends the snapshot. Tickets that were not in the snapshot do not exist any more.
			if _, err := tx.ExecContext(ctx, "DELETE FROM tickets WHERE snapshot < (SELECT snapshot FROM progress)"); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "UPDATE progress SET token = $1", message.GetResumeToken())
		return err
	})
}

// put stores a ticket if the copy has no newer revision of the ticket.
func put(ctx context.Context, tx *sql.Tx, ticket *ticketv1.Ticket) error {
	content, err := proto.Marshal(ticket)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
INSERT INTO tickets (ticket_id, revision, snapshot, ticket) VALUES ($1, $2, (SELECT snapshot FROM progress), $3)
ON CONFLICT (ticket_id) DO UPDATE SET revision = excluded.revision, snapshot = excluded.snapshot, ticket = excluded.ticket
WHERE excluded.snapshot > tickets.snapshot OR excluded.revision >= tickets.revision`,
		ticket.GetTicketId(), ticket.GetRevision(), content)
	return err
}

// StartAgain drops the token. The tickets stay in the copy until the end of the new snapshot.
func (c Copy) StartAgain(ctx context.Context) error {
	return c.inTransaction(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE progress SET token = '', snapshot = snapshot + 1")
		return err
	})
}

// Token returns the token to resume with.
func (c Copy) Token(ctx context.Context) (token string, err error) {
	err = c.db.QueryRowContext(ctx, "SELECT token FROM progress").Scan(&token)
	return token, asCopyError(err)
}

// errCopy is returned if the copy can't be read or written.
var errCopy = errors.New("the copy can't be read or written")

func asCopyError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errCopy, err)
}

func (c Copy) inTransaction(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return asCopyError(err)
	}
	if err := do(tx); err != nil {
		return asCopyError(errors.Join(err, tx.Rollback()))
	}
	return asCopyError(tx.Commit())
}

// script is a ticketsvc that serves its streams in order, one for each call of WatchTickets.
type script struct {
	ticketv1connect.UnimplementedTicketServiceHandler
	streams []scripted
	tokens  []string
}

// silent is the end of a stream that waits until its caller cancels it.
const silent = connect.Code(0)

// scripted has the messages of a stream and the code with which the stream ends.
type scripted struct {
	messages []*ticketv1.WatchTicketsResponse
	end      connect.Code
}

func (s *script) WatchTickets(ctx context.Context, request *ticketv1.WatchTicketsRequest,
	stream *connect.ServerStream[ticketv1.WatchTicketsResponse],
) error {
	s.tokens = append(s.tokens, request.GetResumeToken())
	if len(s.streams) == 0 {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("the script is over"))
	}
	next := s.streams[0]
	s.streams = s.streams[1:]
	for _, message := range next.messages {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	if next.end == silent {
		<-ctx.Done()
		return ctx.Err()
	}
	return connect.NewError(next.end, errors.New("from the script"))
}

func change(token, id string, revision int64, event *ticketv1.TicketEvent) *ticketv1.WatchTicketsResponse {
	return &ticketv1.WatchTicketsResponse{ResumeToken: token, Message: &ticketv1.WatchTicketsResponse_Change{
		Change: &ticketv1.TicketChange{Event: event, Ticket: &ticketv1.Ticket{TicketId: id, Revision: revision}}}}
}

func removed(token, id string) *ticketv1.WatchTicketsResponse {
	return &ticketv1.WatchTicketsResponse{ResumeToken: token, Message: &ticketv1.WatchTicketsResponse_Removed{
		Removed: &ticketv1.TicketRemoved{TicketId: id, Reason: ticketv1.TicketRemoved_REASON_ERASED}}}
}

func heartbeat(token string) *ticketv1.WatchTicketsResponse {
	return &ticketv1.WatchTicketsResponse{ResumeToken: token, Message: &ticketv1.WatchTicketsResponse_Heartbeat{
		Heartbeat: &ticketv1.Heartbeat{}}}
}

func snapshot(token string) *ticketv1.WatchTicketsResponse {
	message := heartbeat(token)
	message.GetHeartbeat().Snapshot = true
	return message
}

func TestFollow_keepsACopyInSync(t *testing.T) {
	t.Parallel()
	type messages = []*ticketv1.WatchTicketsResponse
	event := &ticketv1.TicketEvent{EventId: "e"}
	for name, test := range map[string]struct {
		streams []scripted
		want    string
		tokens  string
	}{
		"the snapshot is interrupted": {
			[]scripted{
				{messages{change("1", "a", 1, nil)}, connect.CodeUnavailable},
				{messages{change("2", "b", 1, nil), heartbeat("3")}, connect.CodeUnavailable},
			},
			"a1 b1", " 1 3",
		},
		"changes, and an erasure": {
			[]scripted{
				{messages{change("1", "a", 1, nil), change("2", "b", 1, nil), heartbeat("3"), change("4", "b", 2, event), removed("5", "a"),
					removed("6", "never had")}, connect.CodeDeadlineExceeded},
			},
			"b2", " 6",
		},
		"another replica sends an older revision": {
			[]scripted{
				{messages{change("1", "a", 1, nil), heartbeat("2"), change("3", "a", 4, event)}, connect.CodeUnavailable},
				{messages{change("4", "a", 3, event)}, connect.CodeUnavailable},
			},
			"a4", " 3 4",
		},
		"the snapshot is newer than the changes after it": {
			[]scripted{
				{messages{change("1", "a", 2, nil), heartbeat("2"), change("3", "a", 1, event)}, connect.CodeUnavailable},
				{messages{change("4", "b", 1, event)}, connect.CodeUnavailable},
			},
			"a2 b1", " 3 4",
		},
		"the token is out of range": {
			[]scripted{
				{messages{change("1", "a", 7, nil), change("2", "gone", 1, nil), heartbeat("3")}, connect.CodeUnavailable},
				{nil, connect.CodeOutOfRange},
				{messages{change("x", "a", 2, nil)}, connect.CodeUnavailable},
				{messages{heartbeat("y"), change("z", "a", 1, event)}, connect.CodeUnavailable},
			},
			"a2", " 3  x z",
		},
		"a stream that falls silent": {
			[]scripted{{nil, silent}, {messages{change("1", "a", 1, nil)}, connect.CodeUnavailable}},
			"a1", "  1",
		},
		"stale tickets stay until the snapshot ends": {
			[]scripted{
				{messages{change("1", "a", 1, nil), change("2", "b", 1, nil), heartbeat("3")}, connect.CodeOutOfRange},
				{messages{change("w", "a", 1, nil), snapshot("x")}, connect.CodeUnavailable},
			},
			"a1 b1", "  x",
		},
		"only a heartbeat ends the snapshot": {
			[]scripted{
				{messages{change("1", "a", 1, nil), change("2", "b", 1, nil), heartbeat("3")}, connect.CodeOutOfRange},
				{messages{change("x", "a", 1, event), removed("y", "never had")}, connect.CodeUnavailable},
			},
			"a1 b1", "  y",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testCopy(t, test.streams, test.want, test.tokens) })
		})
	}
}

// testCopy follows the streams until the last stream has ended.
func testCopy(t *testing.T, streams []scripted, want, wantTokens string) {
	t.Helper()
	s := &script{streams: streams}
	mux := http.NewServeMux()
	mux.Handle(ticketv1connect.NewTicketServiceHandler(s))
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "copy.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	client := ticketv1connect.NewTicketServiceClient(&http.Client{Transport: direct{mux}}, "http://ticketsvc")
	if err := Follow(t.Context(), client, Copy{db}); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("Follow = %v, want the end of the script", err)
	}
	var got string
	err = db.QueryRowContext(t.Context(), "SELECT group_concat(ticket_id || revision, ' ' ORDER BY ticket_id) FROM tickets").Scan(&got)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("the copy has %q, want %q", got, want)
	}
	if tokens := strings.Join(s.tokens, " "); tokens != wantTokens {
		t.Errorf("the streams began with the tokens %q, want %q", tokens, wantTokens)
	}
}

// direct passes requests to a handler without a network, so that the clock of synctest can advance.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(request *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	d.handler.ServeHTTP(recorder, request)
	return recorder.Result(), nil
}

func TestTheGuideHasThisCode(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("following-tickets.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("following_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(?:go|sql)\n(.*?)\n```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) == 0 {
		t.Error("the guide has no code")
	}
	for _, block := range blocks {
		if !strings.Contains(string(code), block[1]) {
			t.Errorf("following_test.go does not have this code of the guide:\n%s", block[1])
		}
	}
}
