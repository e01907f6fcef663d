// Package event reads the body of a delivery. It has three functions:
//
//   - [Parse] reads which event the body is, of which kind, and of which ticket. The webhook server needs no more.
//   - [Redact] removes access tokens, which must never be stored in clear.
//   - [Map] maps the body of a stored delivery to the request of the RPC that records the event.
//
// Parse is strict. The bytes that were signed and the bytes that are used later must mean the same to every reader. So keys are
// case-sensitive, an object that has a key twice is rejected at any depth, and a body that is not UTF-8 is rejected. Large numbers,
// `\u0000` and lone surrogates are accepted, because the body is stored exactly as it came.
//
// # How tolerant the mapping is
//
// The provider's contract leaves much of a body's form open, and its live API sends other forms than its SDK documents. So Map is
// tolerant: no form of a single field makes it return an error. This comment is the reference of the forms that Map reads. The fields of
// the provider are the table of package ticketfields.
//
// # Where a field is read from
//
// The fields come from these parts of event.data. If several parts name a field, the first part counts, even if its value can't be typed:
//
//  1. data.delta, the changes;
//  2. data itself, the ticket as it was;
//  3. data.delta._embedded, then data._embedded, which stand in for the ids that the ticket does not name itself;
//  4. data.ticket, another form of the ticket as it was, then its _embedded.
//
// The request's field mask names exactly the fields that the event named. A field in the mask that is null or empty was cleared. A field
// that the event did not name is not in the mask.
//
// # Values that can't be typed
//
// If the field of [ticketv1.Ticket] can't hold a value, the field is empty and in the mask. The exact JSON of the value is an attribute of
// the ticket. The attribute's key is the provider's name of the field, so that a later value of the field replaces the attribute. A value
// from _embedded has the same key. The keys createdBy, _embedded.property and _embedded.unit are for fields that only _embedded has. If an
// object stands for an id or a name and has it, only the id or the name is kept. If UTF-8 can't hold a string (a lone surrogate), the field
// shows it with U+FFFD, and the attribute has it exactly. An id of that kind leaves its field empty.
//
// A field that the SDK does not have, or that Ticket does not model, is an attribute in any form.
//
// # Too many elements
//
// A request has at most [elements.Max] elements: entries of lists, attributes of the ticket and of its settings, and paths of masks. As
// long as an event has more, the largest of these six becomes one attribute: channels, files, labels, tags, customSettings, and the
// attributes of all fields that the SDK does not have. Such a list is kept like a value that can't be typed. The fields that the SDK does
// not have become the attribute _overflow, a JSON object from each field's name to its exact JSON.
//
// # Findings and errors
//
// Where Map expects an object, [] is an empty object, as PHP writes it. Any other value of data, _embedded or ticket is kept as the
// attribute of that name.
//
// Each value that has another form than the documented one is a [Finding]. Map refuses an event with an [Error] for these reasons alone:
//
//   - Parse refuses the body, or the body has no ticket id;
//   - the event has no time: neither event.createdDate nor an updatedAt in the delta, in data or in data.ticket is a date;
//   - the event's time is too far ahead of its receipt;
//   - the delta of an update is a string, a number, a boolean, or a list in which no change can be read.
//
// # Forms of a value
//
// Strings: a number or a boolean stands for its exact text.
//
// Ids: a string, an integer (each digit is kept), an object with such an id, or MongoDB's {"$oid":…}. An empty object or list stands for
// no id. A boolean is not an id. A string that is not [id.Valid] is not an id either: one that UTF-8 can't hold, one of more than 256
// bytes, or one with hidden characters. An invalid App id in event.urn is left out.
//
// Lists of strings and ids: an object whose keys are numbers stands for the list of its values, in the order of the body. An empty object
// or string stands for an empty list. One element stands for a list of one, except a boolean. If an element can't be read, such as null,
// the list can't be typed.
//
// customSettings has these forms. A number or a boolean as key or type stands for its exact text. If one element can't be read, the whole
// value can't be typed:
//
//   - a list of objects with key, type and value;
//   - an object from key to value, as the live API sends it;
//   - an object whose keys are numbers and whose values are objects with a key, for the list;
//   - one object with key, and with value or type, for a list of one.
//
// commentCount: an integer of 32 bits, or its digits in a string.
//
// Dates, and event.createdDate:
//
//   - ISO 8601 with hyphens and colons, and T or a blank before the time. The time may be missing (midnight), and so may the seconds, the
//     fraction (of any length, cut off after nanoseconds) and the offset (UTC);
//   - a number since 1970, also as a string: milliseconds from 100,000,000,000 on, which is in 1973, and seconds below;
//   - PHP's {"date":…,"timezone_type":…,"timezone":…}, with an offset, an abbreviation of Europe or North America, or a name of the zone
//     database;
//   - MongoDB's {"$date":…} of a string, a number or {"$numberLong":…};
//   - "", 0000-00-00 and -0001-11-30, with or without a time, for no date.
//
// # Forms of a change
//
// In data.delta and its _embedded a value has one of these forms, depending on the field's type:
//
//   - the plain new value; null clears the field;
//   - an object whose keys are one of the pairs old/new, before/after, oldValue/newValue, from/to, previous/current and removed/added, with
//     no other keys. The old key alone clears the field; a list field can't be typed then;
//   - a list of two elements, old and new, if the field is not a list;
//   - a list of two lists, old and new, if the field is a list. Either may be null for no list, or a list in PHP's form.
//
// The pair removed/added of a list field is a change of elements if at least one value is a list. The new list is unknown then. The exact
// JSON of the change is kept like a value that can't be typed, and the request's element_change_mask names the field.
//
// Some values can be read as a change or as a plain value. Map reads them as follows:
//
//   - A list field as a list of two: old and new if each element can be a whole list, that is, a list, a list in PHP's form or null.
//     Otherwise they are two elements of the new list, such as two objects with ids for labels or files. Two nulls are never old and new:
//     such a list can't be typed.
//   - customSettings as a list of two: any object can be a whole list of settings too. But two objects are two
//     settings if at least one of them has a key.
//   - customSettings as an object: a pair is a change only if each of its values can be a whole list, because a setting's key may
//     be "from". So {"from":"a","to":"b"} is two settings.
//   - channelPaths, a list of lists, as a list of two: a list is a whole list only if each of its elements is a list. Two empty lists are
//     two paths.
//   - A field that the SDK does not have may have any type. An object with exactly the keys of old/new, before/after or oldValue/newValue
//     is a change. Everything else is the plain new value.
//
// data.delta may also be a list of changes in these forms. If several entries change a field, the last one counts:
//
//   - {"field":…} with the keys of a pair, or with value, which may be a change itself;
//   - JSON Patch: {"op":…,"path":…,"value":…} that adds, replaces or removes a top-level field. A path into a list field is a change of its
//     elements. All changes of that field since its last full value are then kept as a JSON list.
//
// Entries that can't be read, or that have more members, are kept as the attribute delta, a JSON list.
//
// # Personal data and tokens
//
// The users, property, unit and labels in _embedded are kept only as the one string that Ticket has a field for: nobody needs their e-mail
// addresses, names and telephone numbers here. An object without that string is kept whole.
//
// An access token is never kept: neither a member named token, nor a change of it in a list. Map expects a body that [Redact] has
// redacted. Redact also finds a token inside the values that are kept as they are.
package event
