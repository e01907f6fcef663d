package httpserver

import "fmt"

const (
	// maxDefaultConnections bounds the memory of connections that nobody uses, at about 20 kB each.
	maxDefaultConnections = 8192
	// MaxAdminConnections is for [Server.LimitConnections] of an admin address: probes, and a few profiles at a time.
	MaxAdminConnections = 32
	// otherFiles is how many files a service needs at least, beside its connections: those of the admin address, the database, and calls.
	otherFiles = 2 * MaxAdminConnections
)

// LimitConnections sets how many connections the server has open at most. It must be called before [Server.Start].
//
// At the limit, a new connection takes the place of the one that has been without a request for the longest time, if that is a second or
// more. If no connection has been, new ones wait in the queue of the system.
func (s *Server) LimitConnections(limit int) { s.listener.limit = limit }

// MaxConnections returns the limit that a setting means, where 0 means the default: half of the files that the process may open, at most
// 8192. The other half is for the database, for calls of other services, and for the admin address. The error is for whoever set it.
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
