package httpserver

import "fmt"

const (
	// maxDefaultConnections bounds the memory of unused connections, at about 20 kB each.
	maxDefaultConnections = 8192
	// MaxAdminConnections is for [Server.LimitConnections] of an admin address: probes, and a few profiles at a time.
	MaxAdminConnections = 32
	// otherFiles is the minimum number of files that a service needs besides its connections: for the admin address, the database, and calls.
	otherFiles = 2 * MaxAdminConnections
)

// LimitConnections sets the maximum number of open connections. It must be called before [Server.Start].
//
// At the limit, a new connection replaces the connection that has been without a request for the longest time, if that time is at least a
// second. If there is no such connection, new connections wait in the queue of the system.
func (s *Server) LimitConnections(limit int) { s.listener.limit = limit }

// MaxConnections returns the limit for a setting. 0 is the default: half of the files that the process may open, at most 8192. The other
// half is for the database, for calls of other services, and for the admin address. The error is for the operator who set it.
func MaxConnections(setting int) (int, error) {
	files := openFilesLimit()
	if setting == 0 {
		return defaultMaxConnections(files), nil
	}
	most := max(1, files-otherFiles)
	if setting < 0 || setting > most {
		return 0, fmt.Errorf("%d is out of range: use 1 to %d, or 0 for the default; for more, raise the limit of open files (ulimit -n, now %d)",
			setting, most, files)
	}
	return setting, nil
}

func defaultMaxConnections(files int) int { return max(1, min(files/2, maxDefaultConnections)) }
