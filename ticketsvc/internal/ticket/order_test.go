package ticket_test

import (
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestParseOrder(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ticket.Order{
		"":                 {Time: ticket.ByUpdateTime, Descending: true},
		"update_time":      {Time: ticket.ByUpdateTime},
		"update_time desc": {Time: ticket.ByUpdateTime, Descending: true},
		"create_time":      {Time: ticket.ByCreateTime},
		"create_time desc": {Time: ticket.ByCreateTime, Descending: true},
	} {
		if got, ok := ticket.ParseOrder(text); got != want || !ok {
			t.Errorf("ParseOrder(%q) = %+v, %v; want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		" desc", "desc", "title", "update_time asc", "update_time DESC", "update_time, create_time", "update_time desc desc",
	} {
		if got, ok := ticket.ParseOrder(text); ok {
			t.Errorf("ParseOrder(%q) = %+v", text, got)
		}
	}
}
