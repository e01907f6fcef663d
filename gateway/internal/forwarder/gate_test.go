package forwarder_test

import (
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
)

// A probe that hung, or was slow to be refused, ends after another one has succeeded: that is no new outage.
func TestACallFromBeforeTheOutageWasOverDoesNotBeginAnother(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	for name, misdeployed := range map[string]bool{"away": false, "misdeployed": true} {
		gate := forwarder.NewGate(1)
		if !gate.Failed(at(1), at(2), misdeployed) || !gate.IsClosed() {
			t.Errorf("%s: the first failure does not close it", name)
		}
		if !gate.Succeeded(at(5)) {
			t.Errorf("%s: a success does not open it", name)
		}
		if gate.Failed(at(4), at(6), misdeployed) || gate.IsClosed() {
			t.Errorf("%s: a call that began before it was opened closes it", name)
		}
		if !gate.Failed(at(5), at(7), misdeployed) || !gate.IsClosed() {
			t.Errorf("%s: a call that began afterwards does not close it", name)
		}
	}
}
