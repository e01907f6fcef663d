package event_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
)

func BenchmarkMap(b *testing.B) {
	for _, name := range []string{"created-full.json", "updated-snapshot.json", "updated-old-new.json"} {
		b.Run(name, func(b *testing.B) {
			// The provider sends no white space; the corpus has it for people.
			var body bytes.Buffer
			if err := json.Compact(&body, mustReadCorpus(b, name)); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := event.Map(body.Bytes(), receiveTime, tolerance); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
