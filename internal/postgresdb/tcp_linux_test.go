package postgresdb_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func TestSetTCPUserTimeout_onEveryConnection(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(postgresql.Database(t)))
	conn, err := db.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	tcp, ok := conn.Conn().PgConn().Conn().(*net.TCPConn)
	if !ok {
		t.Skipf("the connection is a %T", conn.Conn().PgConn().Conn())
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const userTimeout = 0x12
	want := map[int]int{syscall.TCP_KEEPIDLE: 5, syscall.TCP_KEEPINTVL: 5, syscall.TCP_KEEPCNT: 3, userTimeout: 20_000}
	got := map[int]int{}
	if err := socket.Control(func(fd uintptr) {
		for option := range want {
			value, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, option)
			if err != nil {
				t.Error(err)
			}
			got[option] = value
		}
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
