package postgresdb_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between the database under test and its server, and fails as networks do.
type proxy struct {
	target  string
	ended   chan struct{}
	running sync.WaitGroup

	mu sync.Mutex
	// passing is closed while the proxy passes on what it gets.
	passing chan struct{}
	// cuts is how many answers to a commit are still to be lost.
	cuts int
}

// startProxy returns a proxy to the server of a database, and the database's URL by way of it.
func startProxy(t *testing.T, databaseURL string) (*proxy, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ended: make(chan struct{}), passing: make(chan struct{})}
	close(p.passing)
	databaseURL = edited(t, databaseURL, func(location *url.URL) { p.target, location.Host = location.Host, listener.Addr().String() })
	p.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		close(p.ended)
		p.running.Wait()
	})
	// It reads what the server says.
	return p, withParameter(t, databaseURL, "sslmode", "disable")
}

// hang makes the proxy keep what it gets to itself, on all connections, until resume.
func (p *proxy) hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passing = make(chan struct{})
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.passing)
}

// loseCommits makes the proxy cut the next connections on which the server says that it has committed, before it passes that on.
func (p *proxy) loseCommits(count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts = count
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var directions sync.WaitGroup
	done := make(chan struct{})
	closeBoth := sync.OnceFunc(func() {
		close(done)
		_ = client.Close()
		_ = server.Close()
	})
	directions.Go(func() {
		defer closeBoth()
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if err != nil || !p.pass(done) {
				return
			}
			if _, err := server.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	directions.Go(func() {
		defer closeBoth()
		for {
			message, err := readMessage(server)
			if err != nil || !p.pass(done) || p.cut(message) {
				return
			}
			if _, err := client.Write(message); err != nil {
				return
			}
		}
	})
	directions.Go(func() {
		select {
		case <-p.ended:
			closeBoth()
		case <-done:
		}
	})
	directions.Wait()
}

// pass waits until the proxy passes on what it gets, and returns false when the connection ends before.
func (p *proxy) pass(done chan struct{}) bool {
	p.mu.Lock()
	passing := p.passing
	p.mu.Unlock()
	select {
	case <-passing:
		return true
	case <-done:
		return false
	}
}

func (p *proxy) cut(message []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cuts == 0 || string(message[:1]) != "C" || string(message[5:]) != "COMMIT\x00" {
		return false
	}
	p.cuts--
	return true
}

// readMessage reads one message of the server: its kind, the length of what comes from there on, and that.
func readMessage(server io.Reader) ([]byte, error) {
	message := make([]byte, 5)
	if _, err := io.ReadFull(server, message); err != nil {
		return nil, err
	}
	message = append(message, make([]byte, binary.BigEndian.Uint32(message[1:])-4)...)
	_, err := io.ReadFull(server, message[5:])
	return message, err
}
