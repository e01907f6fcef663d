package postgresql

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy is a proxy to a server of PostgreSQL. It fails as networks do.
type Proxy struct {
	listener net.Listener
	server   string
	running  sync.WaitGroup
	ended    chan struct{}

	mu          sync.Mutex
	connections map[net.Conn]struct{}
	accepted    int
	cut         Cut
	refusing    bool
	// passing is closed while the proxy forwards data.
	passing chan struct{}
}

// Cut is a rule by which a [Proxy] cuts all connections.
type Cut struct {
	// Times is the number of cuts.
	Times int
	// Before reports whether the proxy cuts all connections instead of forwarding a message of the server. See [Committed].
	Before func(message []byte) bool
	// Refuse is set if new connections are refused after the last cut.
	Refuse bool
}

// Committed reports whether a message of the server confirms a commit.
func Committed(message []byte) bool {
	return message[0] == 'C' && string(message[5:]) == "COMMIT\x00"
}

// NewProxy returns a proxy to the server of databaseURL, and the URL of the database through the proxy. The proxy ends with the test.
func NewProxy(t testing.TB, databaseURL string) (*Proxy, string) {
	t.Helper()
	location, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, server: location.Host, ended: make(chan struct{}), connections: map[net.Conn]struct{}{},
		passing: make(chan struct{})}
	close(p.passing)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		close(p.ended)
		p.mu.Lock()
		p.cutAll()
		p.mu.Unlock()
		p.running.Wait()
	})
	location.Host = listener.Addr().String()
	query := location.Query()
	// Without TLS the proxy can read the messages.
	query.Set("sslmode", "disable")
	location.RawQuery = query.Encode()
	return p, location.String()
}

// Cut makes the proxy cut all connections by the rule cut.
func (p *Proxy) Cut(cut Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
}

// Restore ends the cuts and lets all connections through. It reports whether [Cut.Times] cuts were made.
func (p *Proxy) Restore() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := p.cut.Times == 0
	p.cut, p.refusing = Cut{}, false
	return done
}

// Accepted returns the number of connections that the proxy has accepted.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Hang makes the proxy hold back all data, on all connections, until [Proxy.Resume].
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passing = make(chan struct{})
}

// Resume makes the proxy forward data again.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.passing)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.accepted++
		p.connections[client], p.connections[server] = struct{}{}, struct{}{}
		if p.refusing || p.hasEnded() {
			p.cutAll()
		}
		p.mu.Unlock()
		p.running.Go(func() {
			defer func() { _ = server.Close() }()
			p.passBytes(server, client)
		})
		p.running.Go(func() {
			defer func() { _ = client.Close() }()
			p.passMessages(client, bufio.NewReader(server))
		})
	}
}

func (p *Proxy) passBytes(server io.Writer, client io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil || !p.waitUntilPassing() {
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) passMessages(client io.Writer, server io.Reader) {
	for {
		message, err := readMessage(server)
		if err != nil || !p.waitUntilPassing() {
			return
		}
		p.cutIfWanted(message)
		if _, err := client.Write(message); err != nil {
			return
		}
	}
}

// readMessage reads one message of the server: a letter, a length of four bytes, and the content. The length includes its own four bytes.
func readMessage(server io.Reader) ([]byte, error) {
	message := make([]byte, 5)
	if _, err := io.ReadFull(server, message); err != nil {
		return nil, err
	}
	message = append(message, make([]byte, binary.BigEndian.Uint32(message[1:])-4)...)
	_, err := io.ReadFull(server, message[5:])
	return message, err
}

// waitUntilPassing waits until the proxy forwards data. It returns false if the proxy ends before.
func (p *Proxy) waitUntilPassing() bool {
	p.mu.Lock()
	passing := p.passing
	p.mu.Unlock()
	select {
	case <-passing:
		return true
	case <-p.ended:
		return false
	}
}

func (p *Proxy) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *Proxy) cutIfWanted(message []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut.Times == 0 || !p.cut.Before(message) {
		return
	}
	p.cut.Times--
	p.refusing = p.cut.Times == 0 && p.cut.Refuse
	p.cutAll()
}

// cutAll closes all connections. The caller holds mu.
func (p *Proxy) cutAll() {
	for connection := range p.connections {
		_ = connection.Close()
	}
	clear(p.connections)
}
