package rpc

import (
	"errors"
	"runtime"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

const (
	// maxAdmittedReads is the maximum number of expensive reads that run or wait. One caller may have half of them.
	maxAdmittedReads = 64
	// maxReadWait is the maximum time that an expensive read waits before it begins.
	maxReadWait = 10 * time.Second
	// cheapBatch is the maximum number of tickets of a batch that does not count as expensive.
	cheapBatch = 100
)

// maxRunningReads returns the maximum number of expensive reads that run at once. It is the number of processors, which is GOMAXPROCS minus
// 1 (see package goruntime), but at least 2 and at most 4, because the stores have that many connections for them. One caller may have half
// of them, so the other processors are free for everything else.
func maxRunningReads() int { return min(max(2, runtime.GOMAXPROCS(0)-1), 4) }

// errTooManyReads is returned for a read that did not begin because too many expensive reads run or wait.
var errTooManyReads = errors.New("too many expensive reads run or wait")

// readLimit limits two kinds of reads: those whose time grows with the number of tickets, and those with large responses. Few of them
// run at once, and the others wait. Only a few reads of the first kind may wait; more are rejected at once. No caller may have more than
// half of either number.
type readLimit struct {
	admitted, running *limits.Budget
}

func newReadLimit() readLimit {
	return readLimit{
		admitted: limits.NewSlots(maxAdmittedReads, 0),
		running:  limits.NewSlots(maxRunningReads(), maxReadWait),
	}
}
