package event_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
)

// fullBody returns a ticket with every field that the SDK knows, without white space, as the provider sends it. It has about 1.6 kB.
func fullBody(b *testing.B) []byte {
	b.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, mustRead(b, "../../../internal/testkit/samples/created-full.json")); err != nil {
		b.Fatal(err)
	}
	return compact.Bytes()
}

func BenchmarkParse(b *testing.B) {
	body := fullBody(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRedact(b *testing.B) {
	body := fullBody(b)
	bodies := map[string][]byte{
		"without a token": body,
		"with a token":    bytes.Replace(body, []byte(`"title"`), []byte(`"token":"s3cret","title"`), 1),
	}
	for name, body := range bodies {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				event.Redact(body)
			}
		})
	}
}
