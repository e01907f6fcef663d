package httpserver

import "net"

// WrapListener puts wrap between the server and its listener.
func (s *Server) WrapListener(wrap func(net.Listener) net.Listener) {
	s.listener.Listener = wrap(s.listener.Listener)
}

// DefaultMaxConnections is for a process that may open that many files.
var DefaultMaxConnections = defaultMaxConnections
