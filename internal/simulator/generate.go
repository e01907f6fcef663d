package simulator

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"time"
)

// GenerateOptions control the traffic. The zero value is traffic like that of a property manager's app.
type GenerateOptions struct {
	// EvenSize makes every body about 1.6 kB long, updates too, by long descriptions. Otherwise updates are about a quarter of that.
	EvenSize bool
}

const (
	// bodySize is the average size of a create, and with EvenSize of every event, in bytes.
	bodySize = 1600
	// openTickets is the number of tickets that get updates at the same time. It bounds the memory of a generator.
	openTickets = 64
	// meanStep is the average time between two events: 100,000 events span seven hours.
	meanStep = 250 * time.Millisecond
	// These are the sizes of an event without its description, in bytes: the envelope and the fields.
	createOverhead, updateOverhead = 1440, 500
)

// firstEvent is the time of the first event. It is fixed, so that a seed gives the same bytes on any day.
var firstEvent = time.Date(2026, time.March, 2, 7, 0, 0, 0, time.UTC)

// Generate generates n events of many tickets: for each ticket a ticket.created and then up to six ticket.updated, with all the forms of a
// delta's values. The same seed gives the same bytes. Ids are unique, and different seeds have different ids.
//
// The events come in the order in which they happened, some at the same time. The sequence can be iterated several times.
func Generate(seed uint64, n int, options GenerateOptions) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		random := newRandom(seed, generateStream)
		g := &generator{random: random, options: options, now: firstEvent, session: random.Uint64() >> (64 - 40)}
		for range n {
			if !yield(g.next()) {
				return
			}
		}
	}
}

type generator struct {
	random  *rand.Rand
	options GenerateOptions
	now     time.Time
	// session and created make up a ticket's id, in the form of a MongoDB ObjectID: seconds, 5 random bytes, a counter.
	session uint64
	created int
	open    []*ticket
}

// ticket holds what a later update needs to give the old values.
type ticket struct {
	id, app, category string
	title, status     string
	assignee          string // a JSON text: null, or a quoted user id
	phone             string // the same
	comments          int
	updatesLeft       int
}

func (g *generator) next() Event {
	// One event in eight happens in the same millisecond as the previous event.
	if g.random.IntN(8) > 0 {
		g.now = g.now.Add(time.Duration(g.random.Int64N(int64(2*meanStep/time.Millisecond))) * time.Millisecond)
	}
	if len(g.open) == 0 || len(g.open) < openTickets && g.random.IntN(4) == 0 {
		return g.create()
	}
	return g.update()
}

func (g *generator) create() Event {
	person, category := pick(g.random, people), pick(g.random, categories)
	g.created++
	t := &ticket{
		id:          fmt.Sprintf("%08x%010x%06x", g.now.Unix(), g.session, g.created&0xffffff),
		app:         pick(g.random, apps),
		category:    category.id,
		title:       pick(g.random, titles),
		status:      statuses[0],
		assignee:    "null",
		phone:       fmt.Sprintf(`"+4179%07d"`, g.random.IntN(1e7)),
		updatesLeft: 2 + g.random.IntN(5),
	}
	g.open = append(g.open, t)
	id, label, property := g.uuid(), pick(g.random, labels), 100+g.random.IntN(900)
	second := g.now.Format("2006-01-02T15:04:05+00:00")
	body := make([]byte, 0, bodySize+bodySize/4)
	body = g.appendHead(body, id, "ticket.created", t)
	body = fmt.Appendf(body, `"incrementID":"%d","title":"%s","description":"`, 10000+g.created, t.title)
	body = g.appendText(body, g.descriptionSize(createOverhead))
	body = fmt.Appendf(body, `","status":"%s","category":"%s","channels":["App-%s","Property-%d"],`+
		`"commentCount":0,"unreadAdminMessages":1,"unreadUserMessages":0,"read":false,"sortHash":"zz%x","phoneNumber":%s,`+
		`"tags":["%s"],"labels":["%s"],"files":["5e00%04x","5e00%04x"],"customSettings":[{"key":"room","type":"string","value":"%s"}],`+
		`"assignedTo":null,"createdAt":"%s","updatedAt":"%s","lastStatusUpdate":"%s","customerWaitingSince":"%s",`+
		`"customerWaitingSinceIndicator":"green",`,
		t.status, t.category, t.app, property,
		g.random.IntN(1<<16), t.phone, category.key, label, g.random.IntN(1<<16), g.random.IntN(1<<16), pick(g.random, rooms),
		second, second, second, second)
	body = fmt.Appendf(body, `"_embedded":{"createdBy":{"id":"%s","email":"%s@example.test","username":"%s","locale":"%s"},`+
		`"category":{"id":"%s","key":"%s","name":{"de_DE":"%s","en_US":"%s"}},"property":{"id":"5a00d%03d","name":"%s"},`+
		`"group":{"address":{"street":"%s","houseNumber":"%d","zipCode":"%d","city":"%s","country":"CH"}},"unit":{"name":"%d.%02d"}}}}}`,
		person.id, person.mailbox, person.name, person.locale,
		category.id, category.key, category.german, category.english, property, pick(g.random, properties),
		pick(g.random, streets), 1+g.random.IntN(120), 1000+g.random.IntN(9000), pick(g.random, cities), g.random.IntN(9), 1+g.random.IntN(12))
	return Event{ID: id, TicketID: t.id, Body: body}
}

func (g *generator) update() Event {
	i := g.random.IntN(len(g.open))
	t := g.open[i]
	if t.updatesLeft--; t.updatesLeft == 0 {
		g.open[i] = g.open[len(g.open)-1]
		g.open = g.open[:len(g.open)-1]
	}
	id := g.uuid()
	body := make([]byte, 0, g.updateCapacity())
	body = g.appendHead(body, id, "ticket.updated", t)
	body = append(body, `"delta":{`...)
	body = g.appendChanges(body, t)
	if g.options.EvenSize {
		body = append(body, `"description":"`...)
		body = g.appendText(body, g.descriptionSize(updateOverhead))
		body = append(body, `",`...)
	}
	body = append(body, `"updatedAt":"`...)
	body = g.now.AppendFormat(body, "2006-01-02T15:04:05+00:00")
	body = append(body, `"}}}}`...)
	return Event{ID: id, TicketID: t.id, Body: body}
}

// appendHead appends the envelope up to the ticket's id.
func (g *generator) appendHead(body []byte, id, name string, t *ticket) []byte {
	return fmt.Appendf(body, `{"event":{"id":"%s","name":"%s","createdDate":"%s","urn":"urn:allthings:app:%s:ticket:%s:%s","data":{"id":"%s",`,
		id, name, g.now.Format("2006-01-02T15:04:05.000Z07:00"), t.app, t.category, t.id, t.id)
}

// appendChanges appends one to three changed fields, each followed by a comma.
func (g *generator) appendChanges(body []byte, t *ticket) []byte {
	first := g.random.IntN(len(changes))
	for i := range 1 + g.random.IntN(3) {
		field, old, value := changes[(first+i)%len(changes)](g.random, t)
		body = appendChange(body, field, old, value, g.random.IntN(deltaForms))
	}
	return body
}

// changes are functions that each change one field of a ticket, and return the field's name with the old and the new value as JSON.
var changes = []func(random *rand.Rand, t *ticket) (field, old, value string){
	func(random *rand.Rand, t *ticket) (field, old, value string) {
		old, t.status = t.status, pickOther(random, statuses, t.status)
		return "status", strconv.Quote(old), strconv.Quote(t.status)
	},
	func(random *rand.Rand, t *ticket) (field, old, value string) {
		old, t.assignee = t.assignee, pickOther(random, assignees, t.assignee)
		return "assignedTo", old, t.assignee
	},
	func(_ *rand.Rand, t *ticket) (field, old, value string) {
		t.comments++
		return "commentCount", strconv.Itoa(t.comments - 1), strconv.Itoa(t.comments)
	},
	func(random *rand.Rand, t *ticket) (field, old, value string) {
		old, t.title = t.title, pickOther(random, titles, t.title)
		return "title", `"` + old + `"`, `"` + t.title + `"`
	},
	func(_ *rand.Rand, t *ticket) (field, old, value string) {
		old, t.phone = t.phone, "null"
		return "phoneNumber", old, t.phone
	},
}

// deltaForms is the number of forms for appendChange. The plain form has two of the numbers, because it is the most likely.
const deltaForms = 5

func appendChange(body []byte, field, old, value string, form int) []byte {
	switch form {
	case 0:
		return fmt.Appendf(body, `"%s":{"old":%s,"new":%s},`, field, old, value)
	case 1:
		return fmt.Appendf(body, `"%s":{"from":%s,"to":%s},`, field, old, value)
	case 2:
		return fmt.Appendf(body, `"%s":[%s,%s],`, field, old, value)
	default:
		return fmt.Appendf(body, `"%s":%s,`, field, value)
	}
}

// descriptionSize returns the minimum length of a description, so that a body gets the wanted size.
func (g *generator) descriptionSize(overhead int) int {
	mean := bodySize - overhead
	return mean/2 + g.random.IntN(mean)
}

func (g *generator) updateCapacity() int {
	if g.options.EvenSize {
		return bodySize + bodySize/2
	}
	return updateOverhead + updateOverhead/2
}

// appendText appends sentences until they are at least size bytes long.
func (g *generator) appendText(body []byte, size int) []byte {
	for start := len(body); len(body)-start < size; {
		body = append(body, pick(g.random, sentences)...)
		body = append(body, ' ')
	}
	return body
}

// uuid returns a random UUID of version 4.
func (g *generator) uuid() string {
	a, b := g.random.Uint64(), g.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%x%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, 8+b>>62, b>>48&0xfff, b&0xffffffffffff)
}
