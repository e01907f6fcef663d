package httpserver_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"testing"
)

// TestListen_receiveWindows reads how much an HTTP/2 connection, and each of its streams, may send before the server asks for more.
func TestListen_receiveWindows(t *testing.T) {
	t.Parallel()
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	s := mustListen(t, &http.Server{Protocols: protocols, Handler: http.NotFoundHandler()})
	s.Start(func(err error) { t.Error(err) })
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const pingFrame, settingsFrame, windowUpdateFrame, initialWindowSize = 6, 4, 8, 4
	// This is a ping. Its answer comes after everything that the server sends first.
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"+
		"\x00\x00\x08\x06\x00\x00\x00\x00\x00pingpong"); err != nil {
		t.Fatal(err)
	}
	stream, connection := 65_535, 65_535 // by the protocol
	for kind := byte(0); kind != pingFrame; {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Fatal(err)
		}
		kind = head[3]
		payload := make([]byte, binary.BigEndian.Uint32(head[:4])>>8)
		if _, err := io.ReadFull(conn, payload); err != nil {
			t.Fatal(err)
		}
		switch kind {
		case settingsFrame:
			for ; len(payload) > 0; payload = payload[6:] {
				if binary.BigEndian.Uint16(payload) == initialWindowSize {
					stream = int(binary.BigEndian.Uint32(payload[2:]))
				}
			}
		case windowUpdateFrame:
			connection += int(binary.BigEndian.Uint32(payload))
		}
	}
	if stream > 64<<10 || connection > 64<<10 {
		t.Errorf("a stream may send %d bytes, and the connection %d; want at most 64 KiB", stream, connection)
	}
}
