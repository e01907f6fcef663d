package httpserver

import "net"

// WrapListener puts wrap between the server and its listener.
func (s *Server) WrapListener(wrap func(net.Listener) net.Listener) {
	s.listener.Listener = wrap(s.listener.Listener)
}

// DefaultMaxConnections returns the default for a process that may have that many files open.
var DefaultMaxConnections = defaultMaxConnections
