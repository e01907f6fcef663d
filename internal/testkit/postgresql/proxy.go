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

// Proxy stands between what is tested and its server, and fails as networks do.
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
	// passing is closed while the proxy passes on what it gets.
	passing chan struct{}
}

// Cut says when a [Proxy] cuts all connections.
type Cut struct {
	// Times is how often.
	Times int
	// Before says of a message of the server that, instead of passing it on, everything is cut. See [Committed].
	Before func(message []byte) bool
	// Refuse says that new connections are refused after the last cut.
	Refuse bool
}

// Committed tells whether a message of the server says that it has committed.
func Committed(message []byte) bool {
	return message[0] == 'C' && string(message[5:]) == "COMMIT\x00"
}

// NewProxy returns a proxy to the server of the database at databaseURL, and the URL of the database by way of it. It ends with the test.
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
	// So that the proxy can read along.
	query.Set("sslmode", "disable")
	location.RawQuery = query.Encode()
	return p, location.String()
}

// Cut has the proxy cut all connections, as cut says.
func (p *Proxy) Cut(cut Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
}

// Restore lets everything through from now on. It returns whether all cuts were made that [Proxy.Cut] wanted.
func (p *Proxy) Restore() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := p.cut.Times == 0
	p.cut, p.refusing = Cut{}, false
	return done
}

// Accepted returns how many connections were made to the proxy.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Hang makes the proxy keep what it gets to itself, on all connections, until [Proxy.Resume].
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passing = make(chan struct{})
}

// Resume has the proxy pass on what it gets.
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

// readMessage reads one message of the server: a letter, a length, and as many bytes, less the four of the length.
func readMessage(server io.Reader) ([]byte, error) {
	message := make([]byte, 5)
	if _, err := io.ReadFull(server, message); err != nil {
		return nil, err
	}
	message = append(message, make([]byte, binary.BigEndian.Uint32(message[1:])-4)...)
	_, err := io.ReadFull(server, message[5:])
	return message, err
}

// waitUntilPassing returns false when the proxy ends before it passes on what it gets.
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
