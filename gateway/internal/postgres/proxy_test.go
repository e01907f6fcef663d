package postgres_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy passes on what a store and the server say to each other, and cuts their connections when it is told to.
type proxy struct {
	listener net.Listener
	server   string
	group    sync.WaitGroup

	mu          sync.Mutex
	connections map[net.Conn]struct{}
	// cutBefore says of a message of the server that it is not to be passed on, but everything cut. It is asked until that.
	cutBefore func(message []byte) bool
	// refuseAfter says that new connections are refused after the cut.
	refuseAfter, refusing bool
}

// newProxy returns a proxy, and the URL of the database at databaseURL through it.
func newProxy(t *testing.T, databaseURL string) (*proxy, string) {
	t.Helper()
	location, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: location.Host, connections: map[net.Conn]struct{}{}}
	p.group.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		p.cut()
		p.mu.Unlock()
		p.group.Wait()
	})
	location.Host = listener.Addr().String()
	query := location.Query()
	// So that the proxy can read along.
	query.Set("sslmode", "disable")
	location.RawQuery = query.Encode()
	return p, location.String()
}

// cutWhen cuts all connections before the first message of the server that satisfies the condition. New connections are refused from
// then on, if so wanted.
func (p *proxy) cutWhen(condition func(message []byte) bool, refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutBefore, p.refuseAfter = condition, refuse
}

// restore lets everything through from now on. It returns whether there was a cut.
func (p *proxy) restore() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	wasCut := p.cutBefore == nil
	p.cutBefore, p.refusing = nil, false
	return wasCut
}

func (p *proxy) accept() {
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
		p.connections[client], p.connections[server] = struct{}{}, struct{}{}
		if p.refusing {
			p.cut()
		}
		p.mu.Unlock()
		p.group.Go(func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		})
		p.group.Go(func() {
			p.passMessages(client, bufio.NewReader(server))
			_ = client.Close()
		})
	}
}

// passMessages passes on the server's messages, each a letter, a length, and as many bytes less the length's own four.
func (p *proxy) passMessages(client io.Writer, server io.Reader) {
	for {
		message := make([]byte, 5)
		if _, err := io.ReadFull(server, message); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(message[1:])-4)
		if _, err := io.ReadFull(server, rest); err != nil {
			return
		}
		message = append(message, rest...)
		p.mu.Lock()
		if p.cutBefore != nil && p.cutBefore(message) {
			p.cutBefore, p.refusing = nil, p.refuseAfter
			p.cut()
		}
		p.mu.Unlock()
		if _, err := client.Write(message); err != nil {
			return
		}
	}
}

// cut closes all connections. The caller holds mu.
func (p *proxy) cut() {
	for connection := range p.connections {
		_ = connection.Close()
	}
	clear(p.connections)
}
