package forwarder

import (
	"log/slog"
	"sync"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/translate"
	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// formLogInterval is how often one form of one field is logged at most.
const formLogInterval = time.Hour

// formLog logs values that a ticket's fields can't hold, by field and form. It has a throttle for each pair, of which there are a few
// hundred: a finding names no field that is not in the provider's contract.
type formLog struct {
	mu        sync.Mutex
	throttles map[translate.Finding]*logthrottle.Throttle
}

// note logs the findings of an event that was forwarded.
func (l *formLog) note(log *slog.Logger, now time.Time, findings []translate.Finding) {
	for _, finding := range findings {
		if !finding.Kept {
			continue
		}
		if count, ok := l.throttle(finding).Allow(now); ok {
			log.Warn("a field can't be typed and is kept among the ticket's attributes; gateway explain shows more", "field", finding.Field,
				"form", finding.Form, "count", count)
		}
	}
}

func (l *formLog) throttle(finding translate.Finding) *logthrottle.Throttle {
	l.mu.Lock()
	defer l.mu.Unlock()
	throttle := l.throttles[finding]
	if throttle == nil {
		if l.throttles == nil {
			l.throttles = make(map[translate.Finding]*logthrottle.Throttle)
		}
		throttle = logthrottle.New(formLogInterval)
		l.throttles[finding] = throttle
	}
	return throttle
}
