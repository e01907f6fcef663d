package translate_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ticketbridge/ticketbridge/gateway/internal/translate"
)

func TestEventReadsEveryFormOfADate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want *timestamppb.Timestamp
	}{
		"Z":                     {"2026-03-02T07:15:30Z", date(2026, 3, 2, 7, 15, 30, 0)},
		"+00:00":                {"2026-03-02T07:15:30+00:00", date(2026, 3, 2, 7, 15, 30, 0)},
		"+0000":                 {"2026-03-02T07:15:30+0000", date(2026, 3, 2, 7, 15, 30, 0)},
		"+02:00":                {"2026-03-02T07:15:30+02:00", date(2026, 3, 2, 5, 15, 30, 0)},
		"-0330":                 {"2026-03-02T07:15:30-0330", date(2026, 3, 2, 10, 45, 30, 0)},
		"milliseconds":          {"2026-03-02T07:15:30.123Z", date(2026, 3, 2, 7, 15, 30, 123_000_000)},
		"microseconds, +0000":   {"2026-03-02T07:15:30.123456+0000", date(2026, 3, 2, 7, 15, 30, 123_456_000)},
		"nanoseconds":           {"2026-03-02T07:15:30.123456789+00:00", date(2026, 3, 2, 7, 15, 30, 123_456_789)},
		"longer than that":      {"2026-03-02T07:15:30.1234567899999Z", date(2026, 3, 2, 7, 15, 30, 123_456_789)},
		"longer, +0000":         {"2026-03-02T07:15:30.1234567899999+0000", date(2026, 3, 2, 7, 15, 30, 123_456_789)},
		"one digit":             {"2026-03-02T07:15:30.5Z", date(2026, 3, 2, 7, 15, 30, 500_000_000)},
		"an escaped digit":      {`2026-03-0\u0032T07:15:30Z`, date(2026, 3, 2, 7, 15, 30, 0)},
		"before 1970":           {"1969-12-31T23:59:59.999Z", date(1969, 12, 31, 23, 59, 59, 999_000_000)},
		"29 February":           {"2028-02-29T00:00:00Z", date(2028, 2, 29, 0, 0, 0, 0)},
		"the first":             {"0001-01-01T00:00:00Z", date(1, 1, 1, 0, 0, 0, 0)},
		"year 9999":             {"9999-12-31T23:59:59.999999999Z", date(9999, 12, 31, 23, 59, 59, 999_999_999)},
		"not year 10000":        {"9999-12-31T23:59:59-01:00", nil},
		"not year 0":            {"0001-01-01T00:00:00+01:00", nil},
		"not year 0 itself":     {"0000-06-01T00:00:00Z", nil},
		"no offset":             {"2026-03-02T07:15:30", nil},
		"no time":               {"2026-03-02", nil},
		"no seconds":            {"2026-03-02T07:15Z", nil},
		"a blank for T":         {"2026-03-02 07:15:30Z", nil},
		"an hour of one digit":  {"2026-03-02T7:15:30Z", nil},
		"an empty fraction":     {"2026-03-02T07:15:30.Z", nil},
		"30 February":           {"2026-02-30T07:15:30Z", nil},
		"29 February, not leap": {"2026-02-29T07:15:30Z", nil},
		"month 13":              {"2026-13-02T07:15:30Z", nil},
		"hour 25":               {"2026-03-02T25:15:30Z", nil},
		"five digits of year":   {"12026-03-02T07:15:30Z", nil},
		"seconds since 1970":    {"1772438400", nil},
		"something after it":    {"2026-03-02T07:15:30Z ", nil},
		"a lone surrogate":      {`2026-03-02T07:15:30Z\ud800`, nil},
		"empty":                 {"", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			createdDate := []byte(`{"event":{"id":"e1","name":"ticket.created","createdDate":"` + test.text + `","data":{"id":"t1"}}}`)
			checkDate(t, createdDate, "createdDate: not an ISO 8601 date", test.want)
			createdAt := event("ticket.created", `{"id":"t1","createdAt":"`+test.text+`"}`)
			checkDate(t, createdAt, "data.createdAt: not an ISO 8601 date", test.want)
		})
	}
}

// checkDate compares the create_time of the request that a body becomes. A nil date is to be refused for that reason.
func checkDate(t *testing.T, body []byte, reason string, want *timestamppb.Timestamp) {
	t.Helper()
	request, err := translate.Event(body, receiveTime)
	if want == nil {
		if got := reasonOf(t, err); got != reason {
			t.Errorf("reason = %q, want %q", got, reason)
		}
		return
	}
	if err != nil {
		t.Fatalf("Event: %v", err)
	}
	if diff := cmp.Diff(want, request.Created.GetTicket().GetCreateTime(), protocmp.Transform()); diff != "" {
		t.Errorf("create_time (-want +got):\n%s", diff)
	}
}
