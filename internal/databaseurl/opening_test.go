package databaseurl_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
)

func TestLogStillOpening(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var output strings.Builder
		log := slog.New(slog.NewTextHandler(&output, nil))
		databaseurl.LogStillOpening(log, "a minute")()
		stop := databaseurl.LogStillOpening(log, "a minute")
		time.Sleep(25 * time.Second)
		stop()
		time.Sleep(time.Minute)
		if lines := strings.Split(strings.TrimSpace(output.String()), "\n"); len(lines) != 2 ||
			!strings.HasSuffix(lines[0], "seconds=10") || !strings.HasSuffix(lines[1], "seconds=20") {
			t.Errorf("in 25 seconds it logged %q, want two lines, after 10 and 20", lines)
		}
	})
}
