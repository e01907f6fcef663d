package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/simulator"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

// ticketsvcsDatabase is a system of which ticketsvc's database can be put back to an earlier state.
type ticketsvcsDatabase struct {
	*system
	// mark marks the state, and putBack goes back to it. putBack calls meanwhile while no ticketsvc can record anything.
	mark    func()
	putBack func(meanwhile func())
}

// withEarlierState start a system on each engine, each with another way to lose what ticketsvc had recorded.
var withEarlierState = map[string]func(t *testing.T) ticketsvcsDatabase{
	"SQLite, a backup is restored":                 newSystemWithBackup,
	"replicas on PostgreSQL, a copy is restored":   newSystemWithCopy,
	"replicas on PostgreSQL, a standby takes over": newSystemWithStandby,
}

func newSystemWithBackup(t *testing.T) ticketsvcsDatabase {
	t.Helper()
	s := newSystem(t)
	database, backup := filepath.Join(s.folder, "ticketsvc.db"), filepath.Join(s.folder, "backup.db")
	return ticketsvcsDatabase{system: s, mark: func() {
		mustRun(t, commands.Path(t, "ticketsvc"), "backup", "--database-url=sqlite:"+database, backup)
	}, putBack: func(meanwhile func()) {
		s.stopTicketsvcs(t)
		meanwhile()
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := os.Remove(database + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if err := os.Rename(backup, database); err != nil {
			t.Fatal(err)
		}
		s.startTicketsvcs(t)
	}}
}

func newSystemWithCopy(t *testing.T) ticketsvcsDatabase {
	t.Helper()
	server := postgresql.Server(t, nil)
	execute := func(statement string) { postgresql.Execute(t, server.URL("postgres"), statement) }
	execute("CREATE DATABASE ticketsvc")
	s := newReplicatedSystemOn(t, map[string]string{"gateway": server.URL("postgres"), "ticketsvc": server.URL("ticketsvc")})
	return ticketsvcsDatabase{system: s, mark: func() {
		// A template must have no sessions.
		s.stopTicketsvcs(t)
		execute("CREATE DATABASE backup TEMPLATE ticketsvc")
		s.startTicketsvcs(t)
	}, putBack: func(meanwhile func()) {
		s.stopTicketsvcs(t)
		meanwhile()
		execute("DROP DATABASE ticketsvc")
		execute("ALTER DATABASE backup RENAME TO ticketsvc")
		s.startTicketsvcs(t)
	}}
}

// newSystemWithStandby has an asynchronous standby of ticketsvc's database, which gets nothing more once the state is marked.
func newSystemWithStandby(t *testing.T) ticketsvcsDatabase {
	t.Helper()
	primary := postgresql.Server(t, nil)
	link, through := postgresql.NewProxy(t, primary.URL("postgres"))
	standby := postgresql.StandbyOf(t, primary, mustParse(t, through).Host)
	databases := map[string]string{"gateway": postgresql.Database(t),
		"ticketsvc": strings.Replace(primary.URL("postgres"), primary.Address(), primary.Address()+","+standby.Address(), 1)}
	s := newReplicatedSystemOn(t, databases)
	// The test looks into it after the failover.
	databases["ticketsvc"] = standby.URL("postgres")
	return ticketsvcsDatabase{system: s, mark: func() {
		from, to := postgresql.Connect(t, primary.URL("postgres")), postgresql.Connect(t, standby.URL("postgres"))
		var end string
		if err := from.QueryRow(t.Context(), "SELECT pg_current_wal_flush_lsn()").Scan(&end); err != nil {
			t.Fatal(err)
		}
		eventually(t, func(ctx context.Context) (reached bool, err error) {
			err = to.QueryRow(ctx, "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", end).Scan(&reached)
			return reached, err
		})
		link.Hang()
	}, putBack: func(meanwhile func()) {
		primary.Kill()
		meanwhile()
		postgresql.Execute(t, standby.URL("postgres"), "SELECT pg_promote()")
	}}
}

func (s *system) stopTicketsvcs(t *testing.T) {
	t.Helper()
	for _, ticketsvc := range s.ticketsvcs {
		stop(t, ticketsvc)
	}
}

func (s *system) startTicketsvcs(t *testing.T) {
	t.Helper()
	for _, ticketsvc := range s.ticketsvcs {
		killAndRestart(t, ticketsvc) // There is nothing to kill.
	}
}

// TestReconciler_ticketsvcGetsWhatItLost puts ticketsvc's database back to an earlier state, while the gateway has more deliveries to
// forward than were lost, so that the log is longer than ever a moment later.
func TestReconciler_ticketsvcGetsWhatItLost(t *testing.T) {
	t.Parallel()
	const before, lost, after = 700, 500, 800
	for name, start := range withEarlierState {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := slices.Collect(simulator.Shuffle(simulator.Generate(11, before+lost+after, simulator.GenerateOptions{}), 0, 11))
			s, acknowledged := start(t), map[string][]string{}
			send := func(from, to int) {
				for id, events := range s.send(t, slices.Values(events[from:to])).finish(t, to-from) {
					acknowledged[id] = append(acknowledged[id], events...)
				}
				sortedValues(acknowledged)
			}
			send(0, before)
			s.expectRecorded(t, acknowledged)
			early := s.resumeToken(t)
			s.mark()
			send(before, before+lost)
			s.expectRecorded(t, acknowledged)
			late := s.resumeToken(t)
			// What is not finished yet would be forwarded again in any case.
			s.waitUntilForwarded(t, slices.Concat(slices.Collect(maps.Values(acknowledged))...)...)

			s.putBack(func() { send(before+lost, len(events)) })
			s.expectRecorded(t, acknowledged)
			if !slices.ContainsFunc(s.gateways, func(gateway *service) bool {
				return gateway.logHasWithin(t, startTimeout, "ticketsvc's log lost events that it had recorded")
			}) {
				t.Error("no gateway says that ticketsvc's log lost events")
			}
			s.expectSameTickets(t, events)
			if _, err := s.watch(t, late, 1); connect.CodeOf(err) != connect.CodeOutOfRange {
				t.Errorf("a token of what was lost: %v, want OUT_OF_RANGE", err)
			}
			if watched, err := s.watch(t, early, lost+after); err != nil {
				t.Errorf("a token of before: %d of %d events, %v", len(watched), lost+after, err)
			}
		})
	}
}

// backedUp is a system of which both databases can be backed up while services write, and restored while all are stopped.
type backedUp struct {
	*system
	backUp, restore func(service string)
}

// backedUpSystems start a system on each engine.
var backedUpSystems = map[string]func(t *testing.T) backedUp{
	"SQLite": func(t *testing.T) backedUp {
		s := newSystem(t)
		command := func(name string) func(service string) {
			return func(service string) {
				mustRun(t, commands.Path(t, service), name, "--database-url=sqlite:"+filepath.Join(s.folder, service+".db"),
					filepath.Join(s.folder, service+".backup"))
			}
		}
		return backedUp{system: s, backUp: command("backup"), restore: command("restore")}
	},
	"replicas on PostgreSQL": func(t *testing.T) backedUp {
		server := postgresql.Server(t, nil)
		binaries, err := postgresserver.Find()
		if err != nil {
			t.Fatal(err)
		}
		url, folder := server.URL("postgres"), t.TempDir()
		dump := func(service string) string { return filepath.Join(folder, service+".dump") }
		return backedUp{system: newReplicatedSystem(t, url), backUp: func(service string) {
			mustRun(t, filepath.Join(binaries, "pg_dump"), "--format=custom", "--schema="+service, "--file="+dump(service), url)
		}, restore: func(service string) {
			postgresql.Execute(t, url, "DROP SCHEMA "+service+" CASCADE")
			mustRun(t, filepath.Join(binaries, "pg_restore"), "--dbname="+url, "--single-transaction", "--no-owner", dump(service))
		}}
	},
}

func mustRun(t *testing.T, path string, arguments ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), path, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", filepath.Base(path), arguments[0], err, out)
	}
}

// TestReconciler_bothDatabasesAreRestored backs up ticketsvc's database and then the gateway's while events come, and restores both. So the
// gateway has events as forwarded that ticketsvc lacks, and Allthings sends none of them again that the gateway has.
func TestReconciler_bothDatabasesAreRestored(t *testing.T) {
	t.Parallel()
	const count = 6000
	for name, start := range backedUpSystems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := slices.Collect(simulator.Shuffle(simulator.Generate(12, count, simulator.GenerateOptions{}), 0, 12))
			s := start(t)
			early := s.resumeToken(t)
			// However fast events are, ticketsvc's backup lacks those of the second half.
			firstBackup := make(chan struct{})
			sending := s.send(t, func(yield func(simulator.Event) bool) {
				for i, e := range events {
					if i == count/2 {
						select {
						case <-firstBackup:
						case <-t.Context().Done():
							return
						}
					}
					if !yield(e) {
						return
					}
				}
			})
			s.waitForForwarded(t, count/10)
			s.backUp("ticketsvc")
			close(firstBackup)
			s.waitForForwarded(t, count/2+count/10)
			s.backUp("gateway")
			sending.finish(t, count)
			late := s.resumeToken(t)

			for _, service := range s.services() {
				stop(t, service)
			}
			s.restore("ticketsvc")
			s.restore("gateway")
			kept := map[string]bool{}
			for _, row := range s.rows(t, "gateway", "SELECT event_id FROM deliveries") {
				kept[row[0]] = true
			}
			restart(t, s.services())
			want := map[string][]string{}
			isKept := func(e simulator.Event) bool { return kept[e.ID] }
			for _, e := range events {
				if isKept(e) {
					want[e.TicketID] = append(want[e.TicketID], e.ID)
				}
			}
			s.expectRecorded(t, sortedValues(want))
			if !slices.ContainsFunc(s.gateways, func(gateway *service) bool {
				return gateway.logHasWithin(t, startTimeout, "ticketsvc's log lost events that it had recorded")
			}) {
				t.Error("no gateway says that ticketsvc's log lost events")
			}
			if _, err := s.watch(t, late, 1); connect.CodeOf(err) != connect.CodeOutOfRange {
				t.Errorf("a token of what was lost: %v, want OUT_OF_RANGE", err)
			}
			if watched, err := s.watch(t, early, len(kept)); err != nil {
				t.Errorf("a token of before: %d of %d events, %v", len(watched), len(kept), err)
			}
			s.expectSameTickets(t, slices.DeleteFunc(slices.Clone(events), func(e simulator.Event) bool { return !isKept(e) }))

			// Sent again, the events that both backups lack are there, too.
			s.expectRecorded(t, s.send(t, slices.Values(events)).finish(t, count))
			s.expectSameTickets(t, events)
		})
	}
}

// waitForForwarded waits until the gateways have forwarded so many deliveries.
func (s *system) waitForForwarded(t *testing.T, count int) {
	t.Helper()
	eventually(t, func(context.Context) (bool, error) {
		forwarded := len(s.rows(t, "gateway", "SELECT id FROM deliveries WHERE state = 2"))
		return forwarded >= count, fmt.Errorf("%d deliveries are forwarded, want %d", forwarded, count)
	})
}

// expectSameTickets fails unless the tickets are those of an undisturbed run of the events.
func (s *system) expectSameTickets(t *testing.T, events []simulator.Event) {
	t.Helper()
	alone := newSystem(t)
	alone.expectRecorded(t, alone.send(t, slices.Values(events)).finish(t, len(events)))
	if got, want := s.storedTickets(t), alone.storedTickets(t); !maps.Equal(got, want) {
		t.Errorf("%d tickets differ from the %d of an undisturbed run", len(got), len(want))
	}
}

// resumeToken returns a token of the end of the log.
func (s *system) resumeToken(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	stream, err := s.tickets.WatchTickets(ctx, &ticketv1.WatchTicketsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if beat := stream.Msg().GetHeartbeat(); beat != nil && !beat.GetSnapshot() {
			return stream.Msg().GetResumeToken()
		}
	}
	t.Fatal("the snapshot did not end: ", stream.Err())
	return ""
}

// watch watches from a token on until it has so many different events, and returns their ids.
func (s *system) watch(t *testing.T, token string, events int) (map[string]bool, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	ids := map[string]bool{}
	stream, err := s.tickets.WatchTickets(ctx, &ticketv1.WatchTicketsRequest{ResumeToken: token})
	if err != nil {
		return ids, err
	}
	defer func() { _ = stream.Close() }()
	for len(ids) < events {
		if !stream.Receive() {
			return ids, stream.Err()
		}
		if id := stream.Msg().GetChange().GetEvent().GetEventId(); id != "" {
			ids[id] = true
		}
	}
	return ids, nil
}
