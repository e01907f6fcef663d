package rpc

import (
	"errors"
	"runtime"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

const (
	// maxAdmittedReads is how many expensive reads there are at most, those that wait included. One caller has a half of them.
	maxAdmittedReads = 64
	// maxReadWait is how long an expensive read waits until it begins.
	maxReadWait = 10 * time.Second
	// cheapBatch is how many tickets a batch has that is not expensive.
	cheapBatch = 100
)

// maxRunningReads returns how many expensive reads run at most: as many as there are processors, of which GOMAXPROCS is one more (see
// package goruntime), but no fewer than 2 and no more than 4, for which the stores have connections of their own. One caller's take a half,
// so that the other processors are free for everything else.
func maxRunningReads() int { return min(max(2, runtime.GOMAXPROCS(0)-1), 4) }

// errTooManyReads says that a read is not begun, because too many expensive ones run or wait.
var errTooManyReads = errors.New("too many expensive reads run or wait")

// expensiveReads bounds the reads that take the longer, the more tickets there are, and those whose answers are large. Few run at once, and
// the others wait for these. Of the first kind few may wait, and all others are refused at once. No caller has more than a half of either.
type expensiveReads struct {
	admitted, running *limits.Budget
}

func newExpensiveReads() expensiveReads {
	return expensiveReads{
		admitted: limits.NewPlaces(maxAdmittedReads, 0),
		running:  limits.NewPlaces(maxRunningReads(), maxReadWait),
	}
}
