package databaseurl

import (
	"log/slog"
	"sync"
	"time"
)

// LogStillOpening logs every ten seconds, until stop is called, that the database is not open yet. After an upgrade this can take minutes,
// and without the log the service would seem to hang. duration is how long the upgrade of an older version's database takes.
func LogStillOpening(log *slog.Logger, duration string) (stop func()) {
	stopped := make(chan struct{})
	var logging sync.WaitGroup
	logging.Go(func() {
		ticker := time.NewTicker(10 * time.Second)
		defer ticker.Stop()
		begin := time.Now()
		for {
			select {
			case now := <-ticker.C:
				log.Info("the database is still being opened; the upgrade of an older version's database takes "+duration,
					"seconds", int(now.Sub(begin).Seconds()))
			case <-stopped:
				return
			}
		}
	})
	return func() {
		close(stopped)
		logging.Wait()
	}
}
