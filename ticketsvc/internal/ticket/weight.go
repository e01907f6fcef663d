package ticket

import (
	"errors"
	"fmt"
)

// ErrNoMemory is returned if a [MemoryBudget] had no memory for a ticket or an event. It wraps the error of the budget too.
var ErrNoMemory = errors.New("there is no memory for what is read")

// Weight is the size of a ticket or an event.
type Weight struct {
	// Bytes is the stored size.
	Bytes int
	// Elements is the number of custom settings, attributes, attributes of custom settings, and entries of lists. An element can take only two
	// bytes as stored, and a hundred times as many in memory.
	Elements int
}

const (
	// MaxBytes is the maximum size of the texts of a ticket together, and so of an event. It limits the texts only: the rest of a ticket takes
	// at most a few bytes for each element.
	MaxBytes = 11 << 20
	// freeElements is the maximum number of elements of a ticket whose texts have MaxBytes. It is the number that elements.Max allows an
	// event. Each further element reduces the limit of the texts by elementBytes.
	freeElements = 10_000

	// itemBytes is the size in memory of an empty ticket, with its message of the contract.
	itemBytes = 2048
	// elementBytes is the size in memory of an element, without its texts, with its message.
	elementBytes = 256
)

// Memory returns the size in memory of a ticket or an event of that weight, in bytes. This includes its message of the contract, which
// shares the texts.
func (w Weight) Memory() int { return itemBytes + w.Bytes + w.Elements*elementBytes }

// fits reports whether a ticket may have that weight.
func (w Weight) fits() bool {
	return w.Bytes <= MaxBytes && w.Bytes+(w.Elements-freeElements)*elementBytes <= MaxBytes
}

// within reports whether the weight is at most as large as another one.
func (w Weight) within(other Weight) bool {
	return w.Bytes <= other.Bytes && w.Elements <= other.Elements
}

// Plus returns the weight of both together.
func (w Weight) Plus(other Weight) Weight {
	return Weight{Bytes: w.Bytes + other.Bytes, Elements: w.Elements + other.Elements}
}

// weight returns the weight of the ticket's texts and elements.
func (t *Ticket) weight() Weight {
	w := Weight{Bytes: len(t.ID)}
	for f := range Fields() {
		switch value := f.Ref(t).(type) {
		case *string:
			w.Bytes += len(*value)
		case *[]string:
			w.Elements += len(*value)
			for _, text := range *value {
				w.Bytes += len(text)
			}
		case *[]CustomSetting:
			w.Elements += len(*value)
			for i := range *value {
				setting := &(*value)[i]
				w.Bytes += len(setting.Key) + len(setting.Type) + len(setting.Value)
				w.addTexts(setting.Attributes)
			}
		}
	}
	w.addTexts(t.Attributes)
	return w
}

func (w *Weight) addTexts(texts map[string]string) {
	w.Elements += len(texts)
	for key, text := range texts {
		w.Bytes += len(key) + len(text)
	}
}

// MemoryBudget is asked for memory before a ticket, or an event of the ticket, of that weight is unmarshalled. An error ends the read.
// MemoryBudget must not wait, because the caller holds a database connection. A nil MemoryBudget has memory for everything.
type MemoryBudget func(ticketID string, w Weight) error

// Reserve asks the budget for memory. The error wraps [ErrNoMemory] and the error of the budget.
func (b MemoryBudget) Reserve(ticketID string, w Weight) error {
	if b == nil {
		return nil
	}
	if err := b(ticketID, w); err != nil {
		return fmt.Errorf("%w: %w", ErrNoMemory, err)
	}
	return nil
}
