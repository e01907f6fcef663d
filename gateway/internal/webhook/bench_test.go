package webhook_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// BenchmarkHandler posts a request over kept connections, to an inbox that costs nothing. An unsigned event should cost about as much as a
// wrongly signed one.
func BenchmarkHandler(b *testing.B) {
	wrong := strings.Repeat("0", 64)
	for _, size := range []int{1_700, 16_000, 100_000} {
		body := sized(size)
		for name, r := range map[string]request{
			"signed": signed(body), "wrongly signed": signed(body).with(signatureHeader, wrong), "unsigned": unsigned(body),
		} {
			b.Run(name+"/"+strconv.Itoa(size), func(b *testing.B) {
				d := mustServe(b, withInbox(func(context.Context, inbox.Incoming) (inbox.Action, error) { return inbox.Insert, nil }))
				text := r.String()
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.SetParallelism(8)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					c := d.dial(b)
					for pb.Next() {
						c.mustWrite(b, text)
						if _, err := c.read("POST"); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}
