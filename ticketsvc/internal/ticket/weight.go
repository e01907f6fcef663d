package ticket

import (
	"errors"
	"fmt"
)

// ErrNoRoom says that a [Room] had no memory for what was to be read. It comes with the Room's own error.
var ErrNoRoom = errors.New("there is no room for what is read")

// Weight is how large a ticket or an event is.
type Weight struct {
	// Bytes is its size as it is stored.
	Bytes int
	// Elements are its custom settings, its attributes, those of its custom settings, and the entries of its lists. Each can be two bytes as
	// it is stored, and is a hundred times that in memory.
	Elements int
}

const (
	// MaxBytes is how many bytes the texts of a ticket have together at most, and so an event. It is for the texts alone: what a ticket has
	// beside them takes at most some bytes for each element.
	MaxBytes = 11 << 20
	// freeElements is how many elements a ticket of MaxBytes has at most: as many as elements.Max lets an event have. Each further element
	// leaves elementBytes less for texts.
	freeElements = 10_000

	// itemBytes is what a ticket without anything in it takes in memory, with its message of the contract.
	itemBytes = 2048
	// elementBytes is what an element takes, beside its texts, with its message.
	elementBytes = 256
)

// Memory returns how many bytes a ticket or an event of that weight takes in memory, with its message of the contract, which has the same
// texts.
func (w Weight) Memory() int { return itemBytes + w.Bytes + w.Elements*elementBytes }

// fits tells whether a ticket may be that large.
func (w Weight) fits() bool {
	return w.Bytes <= MaxBytes && w.Bytes+(w.Elements-freeElements)*elementBytes <= MaxBytes
}

// within tells whether it is at most as large as another weight.
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

// Room is asked for memory before a ticket, or an event of it, of that weight is unmarshalled. An error ends the reading. Room does not
// wait: a connection of the database is held. Nil has room for everything.
type Room func(ticketID string, w Weight) error

// For asks for room. The error is [ErrNoRoom] and the Room's own.
func (r Room) For(ticketID string, w Weight) error {
	if r == nil {
		return nil
	}
	if err := r(ticketID, w); err != nil {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return nil
}
