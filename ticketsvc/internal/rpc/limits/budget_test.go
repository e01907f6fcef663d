package limits_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

const wait = 5 * time.Second

func mustTake(t *testing.T, b *limits.Budget, caller limits.Caller, bytes int64) *limits.Grant {
	t.Helper()
	grant, err := b.Take(t.Context(), caller, bytes)
	if err != nil {
		t.Fatalf("%s takes %d of %d free: %v", caller, bytes, b.Free(), err)
	}
	return grant
}

func TestBudget_aCallerLeavesAsMuchAsItHolds(t *testing.T) {
	t.Parallel()
	b := limits.NewBudget(600, wait)
	// takeAll takes all that a caller gets, piece by piece.
	takeAll := func(caller limits.Caller) (total int64) {
		for g := mustTake(t, b, caller, 0); g.TryGrow(1); {
			total++
		}
		return total
	}
	for i, want := range []int64{300, 150, 75} {
		if got := takeAll(limits.Caller(fmt.Sprint(i))); got != want {
			t.Errorf("caller %d holds %d at the most, want %d", i, got, want)
		}
	}

	b = limits.NewBudget(600, wait)
	for range 200 {
		mustTake(t, b, "a", 1)
		mustTake(t, b, "b", 1)
	}
	if mustTake(t, b, "a", 0).TryGrow(1) || mustTake(t, b, "b", 0).TryGrow(1) || b.Free() != 200 {
		t.Errorf("%d are free beside two greedy callers, want 200", b.Free())
	}
}

func TestGrant_Grow_waits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := limits.NewBudget(100, wait)
		first := mustTake(t, b, "a", 50)
		begin := time.Now()
		if _, err := b.Take(t.Context(), "a", 1); !errors.Is(err, limits.ErrInUse) || time.Since(begin) < wait/2 || time.Since(begin) > wait {
			t.Errorf("%v after %v, want ErrInUse after %v at most, and a half of it at least", err, time.Since(begin), wait)
		}
		granted := make(chan *limits.Grant)
		go func() {
			g, err := b.Take(t.Context(), "a", 50)
			if err != nil {
				t.Error(err)
			}
			granted <- g
		}()
		synctest.Wait()
		first.Release()
		first.Release()
		if second := <-granted; second.Bytes() != 50 || b.Free() != 50 {
			t.Errorf("the second has %d and %d are free, want 50 of each", second.Bytes(), b.Free())
		}
	})
}

func TestGrant_Grow_endsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := limits.NewBudget(100, wait)
		first := mustTake(t, b, "a", 40)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		small := make(chan error)
		go func() {
			_, err := b.Take(ctx, "a", 30)
			small <- err
		}()
		synctest.Wait()
		// The second waiter must get its memory although the first one has left.
		go func() {
			g, err := b.Take(t.Context(), "a", 20)
			g.Release()
			small <- err
		}()
		if err := <-small; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want DeadlineExceeded", err)
		}
		synctest.Wait()
		first.Release()
		if err := <-small; err != nil {
			t.Error(err)
		}
		if b.Free() != 100 {
			t.Errorf("%d are free in the end, want 100", b.Free())
		}
	})
}

func TestGrant_Grow_neverFits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := limits.NewBudget(100, wait)
		mustTake(t, b, "b", 10)
		begin := time.Now()
		_, err := b.Take(t.Context(), "a", 51)
		if !errors.Is(err, limits.ErrNeverFits) {
			t.Errorf("at once: %v, want ErrNeverFits", err)
		}
		g := mustTake(t, b, "a", 30)
		if err := g.Grow(t.Context(), 21); !errors.Is(err, limits.ErrNeverFits) || g.Bytes() != 30 {
			t.Errorf("grown: %v with %d, want ErrNeverFits with 30", err, g.Bytes())
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %v to say so", took)
		}
	})
}

func TestBudget_oneCallerDoesNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := limits.NewBudget(100, wait)
		greedy := mustTake(t, b, "greedy", 50)
		refused := make(chan error)
		for range 10 {
			go func() {
				_, err := b.Take(t.Context(), "greedy", 40)
				refused <- err
			}()
		}
		synctest.Wait()
		begin := time.Now()
		mustTake(t, b, "other", 25).Release()
		if took := time.Since(begin); took != 0 {
			t.Errorf("the other caller waited %v", took)
		}
		for range 10 {
			if err := <-refused; !errors.Is(err, limits.ErrInUse) {
				t.Errorf("%v, want ErrInUse", err)
			}
		}
		greedy.Release()
	})
}

// TestBudget_property takes and releases at random: held and free bytes must always add up to the size, and the rule must hold after each
// take.
func TestBudget_property(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const size = 1000
		b := limits.NewBudget(size, wait)
		var grants []*limits.Grant
		held := map[limits.Caller]int64{}
		of := map[*limits.Grant]limits.Caller{}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if len(grants) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(grants)-1).Draw(t, "grant")
				held[of[grants[i]]] -= grants[i].Bytes()
				grants[i].Release()
				continue
			}
			caller := limits.Caller(rapid.StringMatching("[abc]").Draw(t, "caller"))
			g, err := b.Take(context.Background(), caller, 0)
			if err != nil {
				t.Fatal(err)
			}
			bytes, free := rapid.Int64Range(0, size).Draw(t, "bytes"), b.Free()
			fits := bytes == 0 || held[caller]+bytes <= free-bytes
			if g.TryGrow(bytes) != fits {
				t.Fatalf("%s holds %d, %d are free: %d more fit: %v", caller, held[caller], free, bytes, !fits)
			}
			held[caller] += g.Bytes()
			grants, of[g] = append(grants, g), caller
			if total := held["a"] + held["b"] + held["c"]; total+b.Free() != size {
				t.Fatalf("%d are held and %d are free, want %d together", total, b.Free(), size)
			}
		}
	})
}

func BenchmarkBudget_Take(b *testing.B) {
	budget := limits.NewBudget(1<<30, wait)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			g, err := budget.Take(b.Context(), "a", 1000)
			if err != nil {
				b.Error(err)
			}
			g.Release()
		}
	})
}
