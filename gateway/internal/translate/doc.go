// Package translate turns a stored body into the request of the RPC that records its event.
//
// # What is read from where
//
// An event's fields come from these parts of event.data. A field that several of them name is taken from the first:
//
//  1. data.delta, the changes;
//  2. data itself, the ticket as it stood;
//  3. data.delta._embedded, then data._embedded, which stand in for the ids that the ticket does not name itself;
//  4. data.ticket, another form of the ticket as it stood, then its _embedded.
//
// The request's field mask names exactly the fields that the event named. One that is null there, or empty, was cleared; one that is
// absent is not in the mask.
//
// A field that the provider's SDK knows and [ticketv1.Ticket] models has to have its type, else there is an [Error]: such an event
// becomes a dead letter that people see and can replay, rather than lose a value silently. Every other field is kept as its exact JSON
// text in the ticket's attributes. So is a modelled text that UTF-8 cannot hold (a lone surrogate), beside the text with U+FFFD.
//
// Ids are texts, integers (kept digit by digit), or objects that have such an id. Dates are ISO 8601 with an offset.
//
// # Forms of a change
//
// What a value in data.delta may look like is open in the provider's contract. These forms are understood, by the field's type:
//
//   - the plain new value; null clears the field;
//   - an object with keys of one of the pairs old/new, from/to, before/after, removed/added, and with no others. When only the old key is
//     there, the field was cleared; a list's new value can't be known then, which is an error;
//   - a list of two elements, old and new, where the field is not a list itself.
//
// That holds for every field in the SDK's ticket, modelled or not. A field that the SDK does not know may be of any type, so there only
// an object with exactly the keys old and new, or before and after, is such a form; all else is the plain new value.
//
// # What is left out
//
// Of the users, property, unit and labels in _embedded no more is kept than the one text that Ticket has a field for: nobody here needs
// their e-mail addresses, names and telephone numbers. A member named token is an access token and is never kept. Bodies are expected to
// have gone through [envelope.Redact], which finds one also inside the values that are kept as they are.
package translate
