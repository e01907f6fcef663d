package webhook

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// fakeSender records the last deadline that was set.
type fakeSender struct{ deadline time.Time }

func (s *fakeSender) SetReadDeadline(deadline time.Time) error {
	s.deadline = deadline
	return nil
}

func (s *fakeSender) isCut() bool { return s.deadline.Equal(time.Unix(1, 0)) }

// advanceTo makes a body hold size bytes, and fails the test if the error is not the wanted one.
func advanceTo(t *testing.T, g *grant, size int64, want error) {
	t.Helper()
	if err := g.advance(size, time.Time{}); !errors.Is(err, want) {
		t.Fatalf("advance(%d) = %v, want %v", size, err, want)
	}
}

func TestMemoryBudget_theSlowestIsCutOff(t *testing.T) {
	t.Parallel()
	b := newMemoryBudget(100)
	senders := make([]fakeSender, 5)
	grants := make([]*grant, len(senders))
	for i := range senders[:4] {
		grants[i] = b.open(&senders[i])
		advanceTo(t, grants[i], 25, nil)
	}
	// The first of them advances, so the second is now the one that has been in its segment for the longest time.
	advanceTo(t, grants[0], 25, nil)
	grants[4] = b.open(&senders[4])
	advanceTo(t, grants[4], 25, nil)
	wantCut := func(want ...bool) {
		t.Helper()
		for i := range senders {
			if senders[i].isCut() != want[i] {
				t.Errorf("sender %d is cut off: %v, want %v", i, senders[i].isCut(), want[i])
			}
		}
	}
	wantCut(false, true, false, false, false)
	// As many senders are cut off as needed, and no more.
	advanceTo(t, grants[4], 51, nil)
	wantCut(false, true, true, true, false)
	if b.free != 24 {
		t.Errorf("%d bytes are free, want 24", b.free)
	}
	for i, cut := range []bool{false, true, true, true, false} {
		want := error(nil)
		if cut {
			want = errCutOff
			advanceTo(t, grants[i], 50, errCutOff)
		}
		if err := grants[i].finish(); !errors.Is(err, want) {
			t.Errorf("finish of sender %d = %v, want %v", i, err, want)
		}
		grants[i].release()
	}
	if b.free != 100 || b.reading.Len() != 0 {
		t.Errorf("%d bytes are free and %d bodies arrive, want 100 and 0", b.free, b.reading.Len())
	}
}

// A body that is being stored was received completely. No sender is cut off for it, and it is not cut off itself.
func TestMemoryBudget_storedBodiesStay(t *testing.T) {
	t.Parallel()
	b := newMemoryBudget(100)
	var stored, newcomer fakeSender
	first := b.open(&stored)
	advanceTo(t, first, 90, nil)
	if err := first.finish(); err != nil {
		t.Fatal(err)
	}
	second := b.open(&newcomer)
	advanceTo(t, second, 11, errNoMemory)
	if stored.isCut() || newcomer.isCut() {
		t.Error("a sender was cut off")
	}
	first.release()
	advanceTo(t, second, 11, nil)
}

// No sender is cut off if that would not help.
func TestMemoryBudget_nobodyIsCutOffForWhatCanNotFit(t *testing.T) {
	t.Parallel()
	b := newMemoryBudget(100)
	var stored, slow, newcomer fakeSender
	first, second, third := b.open(&stored), b.open(&slow), b.open(&newcomer)
	advanceTo(t, first, 60, nil)
	if err := first.finish(); err != nil {
		t.Fatal(err)
	}
	advanceTo(t, second, 20, nil)
	advanceTo(t, third, 10, nil)
	advanceTo(t, third, 41, errNoMemory)
	if slow.isCut() || newcomer.isCut() {
		t.Error("a sender was cut off")
	}
	advanceTo(t, third, 40, nil)
	if !slow.isCut() || newcomer.isCut() {
		t.Error("the slow sender was not cut off, or the newcomer was")
	}
	for _, g := range []*grant{first, second, third} {
		_ = g.finish()
		g.release()
	}
	if b.free != 100 || b.readingBytes != 0 {
		t.Errorf("%d bytes are free and %d arrive, want 100 and 0", b.free, b.readingBytes)
	}
}

func TestMemoryBudget_aSenderThatIsCutOffGetsNoMoreTime(t *testing.T) {
	t.Parallel()
	b := newMemoryBudget(100)
	var slow, fast fakeSender
	first, second := b.open(&slow), b.open(&fast)
	deadline := time.Unix(1e9, 0)
	if err := first.advance(60, deadline); err != nil || !slow.deadline.Equal(deadline) {
		t.Fatalf("advance = %v, and the deadline is %v", err, slow.deadline)
	}
	advanceTo(t, second, 60, nil)
	if err := first.advance(60, deadline); !errors.Is(err, errCutOff) || !slow.isCut() {
		t.Errorf("advance = %v, and the deadline is %v", err, slow.deadline)
	}
}

// Whatever bodies do, together they hold no more than the budget, and in the end all of it is free.
func TestMemoryBudget_holdsNoMoreThanItsSize(t *testing.T) {
	t.Parallel()
	const size, workers, bodies = 1000, 8, 500
	b := newMemoryBudget(size)
	var group sync.WaitGroup
	for worker := range workers {
		random := rand.New(rand.NewPCG(1, uint64(worker)))
		group.Go(func() {
			for range bodies {
				g := b.open(&fakeSender{})
				held := int64(0)
				for err := error(nil); err == nil && random.IntN(4) > 0; {
					held += random.Int64N(300)
					err = g.advance(held, time.Time{})
					b.mu.Lock()
					if b.free < 0 || b.readingBytes < 0 || b.free+b.readingBytes > size {
						t.Errorf("%d of %d bytes are free", b.free, size)
					}
					b.mu.Unlock()
				}
				_ = g.finish()
				g.release()
			}
		})
	}
	group.Wait()
	if b.free != size || b.reading.Len() != 0 || b.readingBytes != 0 {
		t.Errorf("%d bytes are free, and %d bodies with %d bytes arrive, want %d, 0 and 0", b.free, b.reading.Len(), b.readingBytes, size)
	}
}
