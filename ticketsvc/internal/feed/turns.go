package feed

import (
	"context"
	"time"
)

const (
	// groupSize is how many watchers are woken together.
	groupSize = 16
	// turnTime and messageTime bound how long the others wait for a group: so much, and so much for each message that it may get, which
	// is enough unless its watchers are slow to read.
	turnTime    = 2 * time.Millisecond
	messageTime = 50 * time.Microsecond
	// restShare is how much longer than the turn of a group the rest behind it is, while events wait to be recorded.
	restShare = 3
	// maxRest bounds that.
	maxRest = 100 * time.Millisecond
	// maxTurns bounds the turns of all groups together: nothing else is published meanwhile, no erasure either. Groups that have had none by
	// then are woken at once.
	maxTurns = 2 * time.Second
	// minPublication is how many entries are published at once to begin with, and where the turns of all watchers take longer than slowTurns.
	// As long as they take less than quickTurns, since few entries concern the watchers' filters, it is twice as many each time.
	minPublication = 64
	quickTurns     = 25 * time.Millisecond
	slowTurns      = 4 * quickTurns
)

// turns lets watchers deal with what is new in turns, a group at a time. To wake thousands at once would keep all processors from
// everything else until they are done, from recording events too.
type turns struct {
	groups []*group
}

// group is watchers that are woken together.
type group struct {
	size int
	// wakes is how often the group was woken. waiting is how many of its watchers wait for the next time, and busy how many of those that
	// were woken the last time have not dealt with everything yet.
	wakes         int64
	waiting, busy int
	// woken is closed, and replaced by another, when the group is woken.
	woken chan struct{}
	// idle receives when none is busy any more.
	idle chan struct{}
}

// enter returns a group with one member more.
func (t *turns) enter() *group {
	for _, g := range t.groups {
		if g.size < groupSize {
			g.size++
			return g
		}
	}
	g := &group{size: 1, woken: make(chan struct{}), idle: make(chan struct{}, 1)}
	t.groups = append(t.groups, g)
	return g
}

// wake wakes those of the group that wait. It returns how many they are.
func (g *group) wake() int {
	select {
	case <-g.idle:
	default:
	}
	g.wakes++
	g.waiting, g.busy = 0, g.waiting
	close(g.woken)
	g.woken = make(chan struct{})
	return g.busy
}

// turn is the part of one watcher.
type turn struct {
	group *group
	// waiting tells that the watcher waits to be woken, for the time that follows wakes.
	waiting bool
	wakes   int64
	// busy is, unless it is 0, the time for which the watcher was woken and has not dealt with everything.
	busy int64
}

// begin says that the watcher has something to deal with.
func (t *turn) begin() {
	if !t.waiting {
		return
	}
	t.waiting = false
	if t.group.wakes == t.wakes {
		t.group.waiting--
	} else {
		t.busy = t.wakes + 1
	}
}

// end says that the watcher does not deal with what is new.
func (t *turn) end() {
	t.begin()
	if g := t.group; t.busy != 0 && t.busy == g.wakes && g.busy > 0 {
		if g.busy--; g.busy == 0 {
			g.idle <- struct{}{}
		}
	}
	t.busy = 0
}

// wait says that the watcher waits, and returns what is closed when it is woken.
func (t *turn) wait() <-chan struct{} {
	t.end()
	t.waiting, t.wakes = true, t.group.wakes
	t.group.waiting++
	return t.group.woken
}

// leave says that the watcher is no more.
func (t *turn) leave() {
	t.end()
	t.group.size--
}

// takeTurns wakes all watchers, one group after the other. entries is how many are new to them. It returns how long that took, without the
// rests.
func (f *Feed) takeTurns(ctx context.Context, entries int) (took time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	end := time.Now().Add(maxTurns)
	for i := 0; ctx.Err() == nil; i++ {
		f.mu.Lock()
		if i >= len(f.turns.groups) {
			f.mu.Unlock()
			return took
		}
		g := f.turns.groups[i]
		woken := g.wake()
		f.mu.Unlock()
		if woken == 0 {
			continue
		}
		begin := time.Now()
		left := end.Sub(begin)
		if left <= 0 {
			continue
		}
		timer.Reset(min(turnTime+time.Duration(woken*entries)*messageTime, left))
		select {
		case <-g.idle:
		case <-timer.C:
			// Who is not done by now reads slowly, or not at all.
		case <-ctx.Done():
		}
		turn := time.Since(begin)
		took += turn
		if f.busy() {
			timer.Reset(min(restShare*turn, maxRest))
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
	}
	return took
}

// adapt says how many entries the next publication may have, after one of so many whose turns took so long.
func (f *Feed) adapt(entries int, took time.Duration) {
	switch {
	case entries == f.publication && took < quickTurns:
		f.publication = min(2*f.publication, f.limits.Tail.Items)
	case took > slowTurns:
		f.publication = max(f.publication/2, min(minPublication, f.limits.Tail.Items))
	}
}
