package event_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
)

// dateForms are the forms of a date: the JSON, the expected date (nil for no date), the form that a finding names, and whether the value is
// kept because it can't be read.
var dateForms = map[string]struct {
	value string
	want  *timestamppb.Timestamp
	form  string
	kept  bool
}{
	"Z":                     {`"2026-03-02T07:15:30Z"`, date(2026, 3, 2, 7, 15, 30, 0), "", false},
	"+00:00":                {`"2026-03-02T07:15:30+00:00"`, date(2026, 3, 2, 7, 15, 30, 0), "", false},
	"+0000":                 {`"2026-03-02T07:15:30+0000"`, date(2026, 3, 2, 7, 15, 30, 0), "", false},
	"+02:00":                {`"2026-03-02T07:15:30+02:00"`, date(2026, 3, 2, 5, 15, 30, 0), "", false},
	"+02":                   {`"2026-03-02T07:15:30+02"`, date(2026, 3, 2, 5, 15, 30, 0), "", false},
	"-0330":                 {`"2026-03-02T07:15:30-0330"`, date(2026, 3, 2, 10, 45, 30, 0), "", false},
	"lower case":            {`"2026-03-02t07:15:30z"`, date(2026, 3, 2, 7, 15, 30, 0), "", false},
	"milliseconds":          {`"2026-03-02T07:15:30.123Z"`, date(2026, 3, 2, 7, 15, 30, 123_000_000), "", false},
	"microseconds, +0000":   {`"2026-03-02T07:15:30.123456+0000"`, date(2026, 3, 2, 7, 15, 30, 123_456_000), "", false},
	"nanoseconds":           {`"2026-03-02T07:15:30.123456789+00:00"`, date(2026, 3, 2, 7, 15, 30, 123_456_789), "", false},
	"longer than that":      {`"2026-03-02T07:15:30.1234567899999Z"`, date(2026, 3, 2, 7, 15, 30, 123_456_789), "", false},
	"longer, +0000":         {`"2026-03-02T07:15:30.1234567899999+0000"`, date(2026, 3, 2, 7, 15, 30, 123_456_789), "", false},
	"one digit":             {`"2026-03-02T07:15:30.5Z"`, date(2026, 3, 2, 7, 15, 30, 500_000_000), "", false},
	"a comma":               {`"2026-03-02T07:15:30,25Z"`, date(2026, 3, 2, 7, 15, 30, 250_000_000), "", false},
	"an escaped digit":      {`"2026-03-0\u0032T07:15:30Z"`, date(2026, 3, 2, 7, 15, 30, 0), "", false},
	"before 1970":           {`"1969-12-31T23:59:59.999Z"`, date(1969, 12, 31, 23, 59, 59, 999_000_000), "", false},
	"29 February":           {`"2024-02-29T00:00:00Z"`, date(2024, 2, 29, 0, 0, 0, 0), "", false},
	"a leap second":         {`"2016-12-31T23:59:60Z"`, date(2017, 1, 1, 0, 0, 0, 0), "", false},
	"the first":             {`"0001-01-01T00:00:00Z"`, date(1, 1, 1, 0, 0, 0, 0), "", false},
	"year 9999":             {`"9999-12-31T23:59:59.999999999Z"`, date(9999, 12, 31, 23, 59, 59, 999_999_999), "", false},
	"no seconds":            {`"2026-03-02T07:15Z"`, date(2026, 3, 2, 7, 15, 0, 0), "", false},
	"a blank for T":         {`"2026-03-02 07:15:30Z"`, date(2026, 3, 2, 7, 15, 30, 0), "", false},
	"no offset":             {`"2026-03-02T07:15:30"`, date(2026, 3, 2, 7, 15, 30, 0), "date without an offset", false},
	"no offset, a fraction": {`"2026-03-02T07:15:30.25"`, date(2026, 3, 2, 7, 15, 30, 250_000_000), "date without an offset", false},
	"no offset, no seconds": {`"2026-03-02T07:15"`, date(2026, 3, 2, 7, 15, 0, 0), "date without an offset", false},
	"SQL":                   {`"2026-05-01 10:00:00"`, date(2026, 5, 1, 10, 0, 0, 0), "date without an offset", false},
	"SQL with a fraction":   {`"2026-05-01 10:00:00.000250"`, date(2026, 5, 1, 10, 0, 0, 250_000), "date without an offset", false},
	"no time":               {`"2026-03-02"`, date(2026, 3, 2, 0, 0, 0, 0), "date without a time", false},

	"seconds":                    {`1772438400`, date(2026, 3, 2, 8, 0, 0, 0), "number", false},
	"seconds with a fraction":    {`1772438400.123456789`, date(2026, 3, 2, 8, 0, 0, 123_456_789), "number", false},
	"seconds with an exponent":   {`1.7724384E9`, date(2026, 3, 2, 8, 0, 0, 0), "number", false},
	"milliseconds since 1970":    {`1772438400123`, date(2026, 3, 2, 8, 0, 0, 123_000_000), "number", false},
	"milliseconds, a fraction":   {`1772438400123.5`, date(2026, 3, 2, 8, 0, 0, 123_500_000), "number", false},
	"milliseconds, an exponent":  {`1.772438400123e+12`, date(2026, 3, 2, 8, 0, 0, 123_000_000), "number", false},
	"the last number of seconds": {`99999999999`, date(5138, 11, 16, 9, 46, 39, 0), "number", false},
	"the first of milliseconds":  {`100000000000`, date(1973, 3, 3, 9, 46, 40, 0), "number", false},
	"seconds before 1970":        {`-1.5`, date(1969, 12, 31, 23, 59, 58, 500_000_000), "number", false},
	"zero seconds":               {`0`, date(1970, 1, 1, 0, 0, 0, 0), "number", false},
	"seconds in a string":        {`"1772438400"`, date(2026, 3, 2, 8, 0, 0, 0), "string of digits", false},
	"a fraction in a string":     {`"1772438400.5"`, date(2026, 3, 2, 8, 0, 0, 500_000_000), "string of digits", false},
	"milliseconds in a string":   {`"1772438400123"`, date(2026, 3, 2, 8, 0, 0, 123_000_000), "string of digits", false},

	"PHP, a zone": {`{"date":"2026-06-18 16:10:00.000000","timezone_type":3,"timezone":"Europe/Zurich"}`,
		date(2026, 6, 18, 14, 10, 0, 0), "object with a date", false},
	"PHP, a zone in winter": {`{"timezone":"Europe\/Zurich","timezone_type":3,"date":"2026-01-18 16:10:00.000000"}`,
		date(2026, 1, 18, 15, 10, 0, 0), "object with a date", false},
	"PHP, UTC": {`{"date":"2026-06-18 16:10:00.5","timezone_type":3,"timezone":"UTC"}`,
		date(2026, 6, 18, 16, 10, 0, 500_000_000), "object with a date", false},
	"PHP, an offset": {`{"date":"2026-06-18 16:10:00.000000","timezone_type":1,"timezone":"+02:00"}`,
		date(2026, 6, 18, 14, 10, 0, 0), "object with a date", false},
	"PHP, an abbreviation": {`{"date":"2026-06-18 16:10:00.000000","timezone_type":2,"timezone":"CEST"}`,
		date(2026, 6, 18, 14, 10, 0, 0), "object with a date", false},
	"PHP, an abbreviation in summer": {`{"date":"2026-06-18 16:10:00.000000","timezone_type":"2","timezone":"CET"}`,
		date(2026, 6, 18, 15, 10, 0, 0), "object with a date", false},
	"PHP, a zone of that name": {`{"date":"2026-06-18 16:10:00.000000","timezone_type":3,"timezone":"CET"}`,
		date(2026, 6, 18, 14, 10, 0, 0), "object with a date", false},
	"PHP, Z": {`{"date":"2026-06-18 16:10:00.000000","timezone_type":2,"timezone":"Z"}`,
		date(2026, 6, 18, 16, 10, 0, 0), "object with a date", false},
	"PHP, no zone": {`{"date":"2026-06-18 16:10:00.000000"}`, date(2026, 6, 18, 16, 10, 0, 0), "object with a date", false},
	"PHP, zero": {`{"date":"-0001-11-30 00:00:00.000000","timezone_type":3,"timezone":"Europe/Zurich"}`,
		nil, "zero date", false},
	"MongoDB, a string": {`{"$date":"2026-03-02T08:00:00.5Z"}`, date(2026, 3, 2, 8, 0, 0, 500_000_000), "object with a date", false},
	"MongoDB, a number": {`{"$date":1772438400123}`, date(2026, 3, 2, 8, 0, 0, 123_000_000), "object with a date", false},
	"MongoDB, a long":   {`{"$date":{"$numberLong":"1772438400123"}}`, date(2026, 3, 2, 8, 0, 0, 123_000_000), "object with a date", false},
	"MongoDB, a long unquoted": {`{"$date":{"$numberLong":1772438400123}}`, date(2026, 3, 2, 8, 0, 0, 123_000_000), "object with a date",
		false},

	"empty":                          {`""`, nil, "empty string", false},
	"zero":                           {`"0000-00-00"`, nil, "zero date", false},
	"zero of SQL":                    {`"0000-00-00 00:00:00"`, nil, "zero date", false},
	"zero of ISO":                    {`"0000-00-00T00:00:00.000+00:00"`, nil, "zero date", false},
	"zero of PHP":                    {`"-0001-11-30T00:00:00+00:00"`, nil, "zero date", false},
	"zero of PHP with an odd offset": {`"-0001-11-30T00:00:00+00:34"`, nil, "zero date", false},

	"not year 10000":           {`"9999-12-31T23:59:59-01:00"`, nil, "string that is no date", true},
	"not year 0":               {`"0001-01-01T00:00:00+01:00"`, nil, "string that is no date", true},
	"not year 0 itself":        {`"0000-06-01T00:00:00Z"`, nil, "string that is no date", true},
	"zero and more":            {`"0000-00-00 or so"`, nil, "string that is no date", true},
	"an hour of one digit":     {`"2026-03-02T7:15:30Z"`, nil, "string that is no date", true},
	"an empty fraction":        {`"2026-03-02T07:15:30.Z"`, nil, "string that is no date", true},
	"30 February":              {`"2026-02-30T07:15:30Z"`, nil, "string that is no date", true},
	"29 February, not leap":    {`"2026-02-29T07:15:30Z"`, nil, "string that is no date", true},
	"month 13":                 {`"2026-13-02T07:15:30Z"`, nil, "string that is no date", true},
	"month 0":                  {`"2026-00-02T07:15:30Z"`, nil, "string that is no date", true},
	"day 0":                    {`"2026-01-00T07:15:30Z"`, nil, "string that is no date", true},
	"hour 25":                  {`"2026-03-02T25:15:30Z"`, nil, "string that is no date", true},
	"minute 60":                {`"2026-03-02T07:60:30Z"`, nil, "string that is no date", true},
	"second 61":                {`"2026-03-02T07:15:61Z"`, nil, "string that is no date", true},
	"an offset of 24 hours":    {`"2026-03-02T07:15:30+24:00"`, nil, "string that is no date", true},
	"an offset without digits": {`"2026-03-02T07:15:30+"`, nil, "string that is no date", true},
	"an offset cut short":      {`"2026-03-02T07:15:30+02:"`, nil, "string that is no date", true},
	"five digits of year":      {`"12026-03-02T07:15:30Z"`, nil, "string that is no date", true},
	"two digits of year":       {`"26-03-02T07:15:30Z"`, nil, "string that is no date", true},
	"something after it":       {`"2026-03-02T07:15:30Z "`, nil, "string that is no date", true},
	"something after the day":  {`"2026-03-02x"`, nil, "string that is no date", true},
	"a lone surrogate":         {`"2026-03-02T07:15:30Z\ud800"`, nil, "string that is no date", true},
	"a word":                   {`"yesterday"`, nil, "string that is no date", true},
	"two dots":                 {`"1772438400.5.5"`, nil, "string that is no date", true},
	"only a sign":              {`"-"`, nil, "string that is no date", true},
	"hexadecimal":              {`"0x10"`, nil, "string that is no date", true},
	"a quotient":               {`"10/2"`, nil, "string that is no date", true},
	"too many digits":          {`"` + strings.Repeat("9", 30) + `"`, nil, "string that is no date", true},
	"microseconds since 1970":  {`1772438400123456`, nil, "number that is no date", true},
	"an exponent without end":  {`1e999999999`, nil, "number that is no date", true},
	"a small exponent":         {`1e-999999999`, nil, "number that is no date", true},
	"digits without end":       {strings.Repeat("9", 500_000), nil, "number that is no date", true},
	"a boolean":                {`false`, nil, "boolean", true},
	"a list":                   {`["2026-03-02T07:15:30Z"]`, nil, "list", true},
	"an empty object":          {`{}`, nil, "object that is no date", true},
	"another object":           {`{"date":"2026-03-02T07:15:30Z","by":"x"}`, nil, "object that is no date", true},
	"PHP, this machine's zone": {`{"date":"2026-06-18 16:10:00","timezone_type":3,"timezone":"Local"}`, nil, "object that is no date", true},
	"PHP, this machine's zone by its file": {`{"date":"2026-06-18 16:10:00","timezone_type":3,"timezone":"localtime"}`,
		nil, "object that is no date", true},
	"PHP, a zone of no name": {`{"date":"2026-06-18 16:10:00","timezone_type":3,"timezone":""}`, nil, "object that is no date", true},
	"PHP, an unknown zone": {`{"date":"2026-06-18 16:10:00","timezone_type":3,"timezone":"Mars/Base"}`,
		nil, "object that is no date", true},
	"PHP, a path for a zone": {`{"date":"2026-06-18 16:10:00","timezone_type":3,"timezone":"../UTC"}`, nil, "object that is no date", true},
	"PHP, a zone by slashes": {`{"date":"2026-06-18 16:10:00","timezone_type":3,"timezone":"Europe//Zurich"}`,
		nil, "object that is no date", true},
	"PHP, an unknown abbreviation": {`{"date":"2026-06-18 16:10:00","timezone_type":2,"timezone":"XYZ"}`, nil, "object that is no date",
		true},
	"PHP, a number as zone":       {`{"date":"2026-06-18 16:10:00","timezone_type":1,"timezone":2}`, nil, "object that is no date", true},
	"PHP, a number as date":       {`{"date":1772438400,"timezone_type":3,"timezone":"UTC"}`, nil, "object that is no date", true},
	"PHP, only a zone":            {`{"timezone_type":3,"timezone":"UTC"}`, nil, "object that is no date", true},
	"MongoDB, another number":     {`{"$date":{"$numberInt":"1"}}`, nil, "object that is no date", true},
	"MongoDB in MongoDB":          {`{"$date":{"$numberLong":{"$date":1}}}`, nil, "object that is no date", true},
	"MongoDB, a long and more":    {`{"$date":{"$numberLong":"1","x":2}}`, nil, "object that is no date", true},
	"MongoDB, null":               {`{"$date":null}`, nil, "object that is no date", true},
	"MongoDB and PHP":             {`{"$date":1,"date":"2026-06-18 16:10:00"}`, nil, "object that is no date", true},
	"MongoDB, a string of no day": {`{"$date":"x"}`, nil, "object that is no date", true},
}

func TestMap_readsEveryFormOfADate(t *testing.T) {
	t.Parallel()
	for name, test := range dateForms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := event.Map(bodyWith("ticket.created", `{"id":"t1","lastStatusUpdate":`+test.value+`}`), receiveTime, tolerance)
			if err != nil {
				t.Fatalf("Map: %v", err)
			}
			ticket := result.Created.GetTicket()
			if diff := cmp.Diff(test.want, ticket.GetLastStatusUpdateTime(), protocmp.Transform()); diff != "" {
				t.Errorf("last_status_update_time (-want +got):\n%s", diff)
			}
			if kept, ok := ticket.GetAttributes()["lastStatusUpdate"]; ok != test.kept || ok && kept != test.value {
				t.Errorf("the attribute is %.100q, kept is to be %t", kept, test.kept)
			}
			wantForms(t, result, finding("data.lastStatusUpdate", test.form, test.kept)...)
		})
	}
}

func TestMap_occurTime(t *testing.T) {
	t.Parallel()
	for name, test := range dateForms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withDate := func(data string) []byte {
				return []byte(`{"event":{"id":"e1","name":"ticket.updated","createdDate":` + test.value + `,"data":` + data + `}}`)
			}
			result, err := event.Map(withDate(`{"id":"t1"}`), receiveTime, 0)
			if test.want == nil {
				want := "no usable event time: event.createdDate: " + test.form + ", and no updatedAt to take in its place"
				if reason := reasonOf(t, err); reason != want {
					t.Errorf("reason = %q, want %q", reason, want)
				}
				// The event's own updatedAt is the next best.
				test.want = date(2026, 3, 2, 8, 0, 0, 0)
				result, err = event.Map(withDate(`{"id":"t1","updatedAt":1772438400}`), receiveTime, 0)
			}
			if err != nil {
				t.Fatalf("Map: %v", err)
			}
			if diff := cmp.Diff(test.want, result.Updated.GetEvent().GetOccurTime(), protocmp.Transform()); diff != "" {
				t.Errorf("occur_time (-want +got):\n%s", diff)
			}
			if len(result.Findings) > 0 {
				result.Findings = result.Findings[:1]
			}
			wantForms(t, result, finding("event.createdDate", test.form, false)...)
		})
	}
}

func TestMap_occurTime_fromUpdatedAt(t *testing.T) {
	t.Parallel()
	const at = `"2026-03-02T08:00:00Z"`
	tests := map[string]struct {
		data   string
		usable bool
	}{
		"in data":                    {`{"id":"t1","updatedAt":` + at + `}`, true},
		"in the delta":               {`{"id":"t1","delta":{"updatedAt":` + at + `},"updatedAt":"2020-01-01T00:00:00Z"}`, true},
		"changed in the delta":       {`{"id":"t1","delta":{"updatedAt":["2020-01-01T00:00:00Z",` + at + `]}}`, true},
		"in a list of changes":       {`{"id":"t1","delta":[{"field":"updatedAt","old":null,"new":` + at + `}]}`, true},
		"in a patch":                 {`{"id":"t1","delta":[{"op":"replace","path":"/updatedAt","value":` + at + `}]}`, true},
		"in data.ticket":             {`{"ticket":{"id":"t1","updatedAt":` + at + `}}`, true},
		"in data, not in the delta":  {`{"id":"t1","delta":{"updatedAt":"x"},"updatedAt":` + at + `}`, true},
		"in ticket, no date in data": {`{"id":"t1","updatedAt":"","ticket":{"updatedAt":` + at + `}}`, true},
		"nowhere":                    {`{"id":"t1","createdAt":` + at + `}`, false},
		"no date":                    {`{"id":"t1","updatedAt":"0000-00-00"}`, false},
		"cleared":                    {`{"id":"t1","delta":{"updatedAt":[` + at + `,null]}}`, false},
	}
	for name, test := range tests {
		for form, createdDate := range map[string]string{"missing": ``, "null": `"createdDate":null,`, "list": `"createdDate":[],`} {
			t.Run(name+", "+form, func(t *testing.T) {
				t.Parallel()
				body := `{"event":{"id":"e1","name":"ticket.updated",` + createdDate + `"data":` + test.data + `}}`
				result, err := event.Map([]byte(body), receiveTime, tolerance)
				if !test.usable {
					want := "no usable event time: event.createdDate: " + form + ", and no updatedAt to take in its place"
					if reason := reasonOf(t, err); reason != want {
						t.Errorf("reason = %q, want %q", reason, want)
					}
					return
				}
				if err != nil {
					t.Fatalf("Map: %v", err)
				}
				if diff := cmp.Diff(date(2026, 3, 2, 8, 0, 0, 0), result.Updated.GetEvent().GetOccurTime(), protocmp.Transform()); diff != "" {
					t.Errorf("occur_time (-want +got):\n%s", diff)
				}
				if !containsFinding(result, event.Finding{Field: "event.createdDate", Form: form}) {
					t.Errorf("findings %v", result.Findings)
				}
			})
		}
	}
}

func TestMap_fromTheFuture(t *testing.T) {
	t.Parallel()
	const reason = "the event is dated more than 24h0m0s ahead of its receipt: correct the sender's clock or raise --future-tolerance, " +
		"then retry"
	dated := func(createdDate time.Time) []byte {
		return []byte(`{"event":{"id":"e1","name":"ticket.updated","createdDate":"` + createdDate.Format(time.RFC3339Nano) +
			`","data":{"id":"t1"}}}`)
	}
	atLimit := receiveTime.Add(24 * time.Hour)
	if _, err := event.Map(dated(atLimit), receiveTime, 24*time.Hour); err != nil {
		t.Errorf("24 hours ahead: %v", err)
	}
	_, err := event.Map(dated(atLimit.Add(time.Nanosecond)), receiveTime, 24*time.Hour)
	if got := reasonOf(t, err); got != reason {
		t.Errorf("reason = %q, want %q", got, reason)
	}
	if _, err = event.Map(dated(atLimit.Add(time.Nanosecond)), receiveTime, 25*time.Hour); err != nil {
		t.Errorf("with a higher tolerance: %v", err)
	}
	farAhead := dated(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
	if _, err = event.Map(farAhead, receiveTime, 0); err != nil {
		t.Errorf("with the check off: %v", err)
	}
	// The date of an updatedAt, which replaces the event's date, is checked too.
	body := `{"event":{"id":"e1","name":"ticket.updated","data":{"id":"t1","updatedAt":"9999-01-01T00:00:00Z"}}}`
	if _, err = event.Map([]byte(body), receiveTime, 24*time.Hour); reasonOf(t, err) != reason {
		t.Errorf("updatedAt: %v", err)
	}
}

func finding(field, form string, kept bool) []event.Finding {
	if form == "" {
		return nil
	}
	return []event.Finding{{Field: field, Form: form, Kept: kept}}
}

func wantForms(tb testing.TB, result event.Result, want ...event.Finding) {
	tb.Helper()
	if len(want) == 0 {
		want = nil
	}
	if diff := cmp.Diff(want, result.Findings); diff != "" {
		tb.Errorf("findings (-want +got):\n%s", diff)
	}
}

func containsFinding(result event.Result, want event.Finding) bool {
	for _, finding := range result.Findings {
		if finding == want {
			return true
		}
	}
	return false
}
