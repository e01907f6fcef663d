package erasures_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/ticketbridge/ticketbridge/gateway/internal/erasures"
	"github.com/ticketbridge/ticketbridge/gateway/internal/sqlite"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// ticketsvc is a ticketsvc with its database: its erasures, and its key.
type ticketsvc struct {
	mu     sync.Mutex
	erased []string
	key    string
	// err is the error of every call, and repeatErr that of the next RepeatErasures.
	err, repeatErr error
	repeats        int
}

// ListErasures implements [erasures.Client].
func (s *ticketsvc) ListErasures(_ context.Context, request *ticketv1.ListErasuresRequest) (*ticketv1.ListErasuresResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := 0
	if position := request.GetPosition(); position != nil {
		from = int(position.GetSequence())
		if from > len(s.erased) || !proto.Equal(position, s.position(from)) {
			return nil, wireError(connect.CodeOutOfRange)
		}
	}
	response := &ticketv1.ListErasuresResponse{Position: request.GetPosition()}
	for i := from; i < min(from+100, len(s.erased)); i++ {
		response.Erasures = append(response.Erasures, &ticketv1.Erasure{TicketId: s.erased[i], Receipt: []byte(s.key + s.erased[i])})
		response.Position = s.position(i + 1)
	}
	return response, s.err
}

// position returns the position of the n-th erasure.
func (s *ticketsvc) position(n int) *ticketv1.LogPosition {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(s.erased[n-1]))
	return &ticketv1.LogPosition{DatabaseId: []byte(s.key), Sequence: int64(n), Fingerprint: hash.Sum64()}
}

// RepeatErasures implements [erasures.Client].
func (s *ticketsvc) RepeatErasures(_ context.Context, request *ticketv1.RepeatErasuresRequest) (*ticketv1.RepeatErasuresResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repeats++
	if err := errors.Join(s.err, s.repeatErr); err != nil {
		s.repeatErr = nil
		return nil, err
	}
	response := &ticketv1.RepeatErasuresResponse{}
	for _, e := range request.GetErasures() {
		if string(e.GetReceipt()) != s.key+e.GetTicketId() {
			response.RefusedTicketIds = append(response.RefusedTicketIds, e.GetTicketId())
		} else if !slices.Contains(s.erased, e.GetTicketId()) {
			s.erased = append(s.erased, e.GetTicketId())
		}
	}
	return response, nil
}

// set changes the ticketsvc.
func (s *ticketsvc) set(f func(*ticketsvc)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// wantErased fails if other tickets than these are erased, in any order.
func (s *ticketsvc) wantErased(t *testing.T, want []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(s.erased))); diff != "" {
		t.Errorf("erased: want (-), got (+):\n%s", diff)
	}
}

func wireError(code connect.Code) error {
	return connect.NewWireError(code, errors.New("as ticketsvc says"))
}

// logBuffer holds the log.
type logBuffer struct {
	mu      sync.Mutex
	content bytes.Buffer
}

// Write implements [io.Writer].
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.Write(line)
}

// take returns the lines that were logged since the last call.
func (b *logBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.content.Reset()
	return b.content.String()
}

func ids(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(prefix, i)
	}
	return all
}

// follow runs a follower with simulated time while f runs. passed lets that time pass, and returns the lines that were logged in it. The
// follower keeps the erasures in the file at path.
func follow(t *testing.T, path string, s *ticketsvc, f func(passed func(time.Duration) string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		log := &logBuffer{}
		follower := erasures.New(store, s, erasures.Options{Now: time.Now, Random: func() float64 { return 0.5 },
			Log: slog.New(slog.NewTextHandler(log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { follower.Run(ctx) })
		f(func(d time.Duration) string {
			time.Sleep(d)
			synctest.Wait()
			return log.take()
		})
		cancel()
		running.Wait()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// interval is the time between two checks.
const interval = 5 * time.Second

func TestFollower_repeatsWhatARestoreLost(t *testing.T) {
	t.Parallel()
	path, s := filepath.Join(t.TempDir(), "gateway.db"), &ticketsvc{key: "k", erased: ids("t", 250)}
	want := append(ids("t", 250), "later")
	follow(t, path, s, func(passed func(time.Duration) string) {
		if log := passed(time.Second); log != "" {
			t.Errorf("at first it logs %q, want nothing", log)
		}
		s.set(func(s *ticketsvc) { s.erased = append(s.erased, "later") })
		passed(interval)
		s.set(func(s *ticketsvc) { s.erased = s.erased[:20] })
		log := passed(interval)
		if !strings.Contains(log, "does not hold the last erasure") || !strings.Contains(log, "are repeated\" count=231\n") {
			t.Errorf("after a restore it logs %q, want that 231 are repeated", log)
		}
		s.wantErased(t, want)
		if log := passed(time.Hour); log != "" || s.repeats != 3 {
			t.Errorf("then it logs %q, and repeated in %d calls; want nothing, and 3", log, s.repeats)
		}
	})
	// While no gateway runs, ticketsvc is restored to a time before its first erasure.
	s.erased = nil
	follow(t, path, s, func(passed func(time.Duration) string) {
		passed(time.Second)
		s.wantErased(t, want)
	})
	// All of them are known to be listed: nothing is missing after a restart.
	s.repeats = 0
	follow(t, path, s, func(passed func(time.Duration) string) { passed(time.Minute) })
	if s.repeats != 0 {
		t.Errorf("after a restart it repeats in %d calls, want 0", s.repeats)
	}
}

func TestFollower_aCallInBetweenFails(t *testing.T) {
	t.Parallel()
	s := &ticketsvc{key: "k", erased: ids("t", 150)}
	follow(t, filepath.Join(t.TempDir(), "gateway.db"), s, func(passed func(time.Duration) string) {
		passed(time.Second)
		s.set(func(s *ticketsvc) { s.erased, s.repeatErr = []string{"other"}, wireError(connect.CodeAborted) })
		if log := passed(interval); !strings.Contains(log, "code=aborted") {
			t.Errorf("it logs %q, want the error", log)
		}
		passed(interval)
		s.wantErased(t, append(ids("t", 150), "other"))
	})
}

func TestFollower_aDatabaseMadeAnew(t *testing.T) {
	t.Parallel()
	s := &ticketsvc{key: "k", erased: ids("t", 150)}
	follow(t, filepath.Join(t.TempDir(), "gateway.db"), s, func(passed func(time.Duration) string) {
		passed(time.Second)
		s.set(func(s *ticketsvc) { s.erased, s.key = ids("new", 3), "another" })
		const refused = `level=ERROR msg="ticketsvc lacks erasures and refuses to repeat them, because its database was made anew:` +
			` import them with ticketsvc erasures import, as docs/erasure.md says" count=150`
		if log := passed(interval); strings.Count(log, refused) != 1 {
			t.Errorf("it logs %q, want once: %s", log, refused)
		}
		if log := passed(10 * time.Minute); strings.Count(log, refused) != strings.Count(log, "\n") || strings.Count(log, refused) < 9 ||
			strings.Count(log, refused) > 10 {
			t.Errorf("in ten minutes it logs %q, want a line a minute", log)
		}
		s.wantErased(t, ids("new", 3))
		// They are imported. Later erasures are repeated after a restore of this database.
		s.set(func(s *ticketsvc) { s.erased = append(s.erased, ids("t", 150)...) })
		passed(2 * time.Minute)
		if log := passed(time.Hour); log != "" {
			t.Errorf("after the import it logs %q", log)
		}
		s.set(func(s *ticketsvc) { s.erased = s.erased[:1] })
		passed(interval)
		s.wantErased(t, append(ids("t", 150), ids("new", 3)...))
	})
}

func TestFollower_olderTicketsvcAndOutage(t *testing.T) {
	t.Parallel()
	s := &ticketsvc{key: "k", erased: ids("t", 3), err: wireError(connect.CodeUnimplemented)}
	follow(t, filepath.Join(t.TempDir(), "gateway.db"), s, func(passed func(time.Duration) string) {
		if log := passed(time.Hour); strings.Count(log, "\n") != 1 || !strings.Contains(log, "older version") {
			t.Errorf("with an older ticketsvc it logs %q, want one line", log)
		}
		s.set(func(s *ticketsvc) { s.err = wireError(connect.CodeUnavailable) })
		if log := passed(time.Minute); log != "" {
			t.Errorf("in an outage it logs %q, want nothing: the forwarder says it", log)
		}
		s.set(func(s *ticketsvc) { s.err = wireError(connect.CodePermissionDenied) })
		if log := passed(time.Minute); strings.Count(log, "\n") != 1 || !strings.Contains(log, "code=permission_denied") {
			t.Errorf("refused for a minute it logs %q, want one line", log)
		}
		s.set(func(s *ticketsvc) { s.err = nil })
		passed(interval)
		s.set(func(s *ticketsvc) { s.erased = nil })
		passed(interval)
		s.wantErased(t, ids("t", 3))
	})
}
