// Package event reads the body of a delivery: at the public door, to know which event it is, of which kind, and which ticket it is about
// ([Parse]), and to take access tokens out, which must never be stored in clear ([Redact]); and once it is stored, to make of it the
// request of the RPC that records the event ([Map]).
//
// The door is strict, because the bytes that were signed and the bytes that are used later must mean the same to everyone: keys are
// compared by case, an object that holds a key twice is refused at any depth, and so is text that is not UTF-8. It leaves alone what only
// a value can tell: large numbers, `\u0000` and lone surrogates are accepted, since they are kept exactly as they came.
//
// # How tolerant the mapping is
//
// The provider's contract leaves much of a body's form open, and its live API sends other forms than its SDK says. So the reader is
// tolerant: no form of one field costs an event. This comment is the reference of what it understands.
//
// # What is read from where
//
// An event's fields come from these parts of event.data. A field that several of them name is taken from the first, also where the first
// can't be typed:
//
//  1. data.delta, the changes;
//  2. data itself, the ticket as it stood;
//  3. data.delta._embedded, then data._embedded, which stand in for the ids that the ticket does not name itself;
//  4. data.ticket, another form of the ticket as it stood, then its _embedded.
//
// The request's field mask names exactly the fields that the event named. One that is null there, or empty, was cleared; one that is
// absent is not in the mask.
//
// # What can't be typed
//
// A value that the field of [ticketv1.Ticket] can't hold leaves that field empty, in the mask. Its exact JSON is an attribute of the
// ticket, under the provider's name of the field, so that a later value of the field takes its place. The name is the same where the value
// came from _embedded; what only _embedded has is under createdBy, _embedded.property and _embedded.unit. Of an object that stands for an
// id or a name, no more than that part is kept, if the object has it. A string that UTF-8 can't hold (a lone surrogate) is shown with
// U+FFFD and kept exactly, too; an id of that kind leaves its field empty.
//
// A field that the SDK does not know, or that Ticket does not model, is an attribute in any form.
//
// # Too many elements
//
// A request has at most [elements.Max] elements: entries of lists, attributes, and paths of masks. While an event would make a request with
// more, the largest of these becomes one attribute: channels, files, labels, tags, customSettings, or all attributes of fields that the SDK
// does not know. A list is kept like a value that can't be typed. The fields that the SDK does not know are then a JSON object, from the
// field's name to its exact JSON, in the attribute _overflow.
//
// Where an object is wanted, [] is an empty one, as PHP writes it. Any other value for data, _embedded or ticket is kept as the attribute
// of that name.
//
// Every value in another form than the documented one is a [Finding]. The event itself is refused, with an [Error], for one of these alone:
//
//   - the body is not what [Parse] accepts, or has no ticket id;
//   - it has no time: neither event.createdDate nor an updatedAt in the delta, in data or in data.ticket is a date;
//   - its time is too far ahead of its receipt;
//   - the delta of an update is a string, a number, a boolean, or a list in which no change can be read.
//
// # Forms of a value
//
// Strings: a number or a boolean stands for its exact text.
//
// Ids: a string, an integer (kept digit by digit), an object with such an id, or MongoDB's {"$oid":…}. An empty object or list stands for
// no id. A boolean is no id, and neither is what [id.Valid] refuses: a string that UTF-8 can't hold, one of more than 256 bytes, or one
// with hidden characters. An App's id of that kind in event.urn is left out.
//
// Lists of strings and ids: an object whose keys are numbers stands for the list of its values, in the order of the body; an empty object
// or string for an empty list; one element for a list of one, if it is no boolean. A list with an element that can't be read, such as null,
// can't be typed.
//
// customSettings: a list of objects with key, type and value; an object from key to value, as the live API has it; an object with numbers
// as keys, and with objects that have a key as values, for the list; one object with key and with value or type, for a list of one. A
// number or a boolean for a key or type stands for its exact text. Where one element can't be read, the whole can't be typed.
//
// commentCount: an integer of 32 bits, or its digits in a string.
//
// Dates, also event.createdDate:
//
//   - ISO 8601 with hyphens and colons: T or a blank before the time; with or without time (then midnight), seconds, a fraction of any
//     length (cut off after nanoseconds) and an offset (else UTC);
//   - a number since 1970, also as a string: milliseconds from 100,000,000,000 on, which is in 1973, and seconds below;
//   - PHP's {"date":…,"timezone_type":…,"timezone":…}, with an offset, an abbreviation of Europe or North America, or a name of the zone
//     database;
//   - MongoDB's {"$date":…} of a string, a number or {"$numberLong":…};
//   - "", 0000-00-00 and -0001-11-30, with or without a time, for no date.
//
// # Forms of a change
//
// In data.delta and its _embedded a value is one of these, by the field's type:
//
//   - the plain new value; null clears the field;
//   - an object with keys of one of the pairs old/new, before/after, oldValue/newValue, from/to, previous/current and removed/added, and
//     with no others. With the old key alone, the field was cleared, but a list field can't be typed;
//   - a list of two elements, old and new, where the field is not a list itself;
//   - a list of two lists, old and new, where the field is a list. Either may be null for none, or a list in PHP's form.
//
// removed and added of a list field are a change of elements if at least one is a list: the new list is not known. The exact JSON
// of the change is kept like a value that can't be typed, and the request's element_change_mask names the field.
//
// Some values could be a change or not. They are read as follows:
//
//   - customSettings as an object: a pair counts only where its values could be settings (a list, an object or null), since a setting may
//     be named from. So {"from":"a","to":"b"} are two settings.
//   - customSettings as a list of two: two objects are old and new if neither has a key, and two settings if one has. All else of lists,
//     objects and null is old and new.
//   - channelPaths, a list of lists: a list of two is old and new if each is a list of lists, an empty list or null, except for two empty
//     lists, which are two paths.
//   - labels and files as a list of two objects with ids are two elements.
//   - two nulls are never old and new lists: they are a list that can't be typed.
//   - A field that the SDK does not know may be of any type. There an object with exactly the keys of old/new, before/after or
//     oldValue/newValue is a change, and all else is the plain new value.
//
// data.delta may also be a list of changes, each in one of these forms. Of several changes of a field the last counts.
//
//   - {"field":…} with the keys of a pair, or with value, which may be a change itself;
//   - JSON Patch: {"op":…,"path":…,"value":…} that adds, replaces or removes a top-level field. A path into a list field is a change of its
//     elements; all changes of that field since its last full value are then kept as a JSON list.
//
// Changes in the list that can't be read, or that have more in them, are kept as the attribute delta, a JSON list.
//
// # What is left out
//
// Of the users, property, unit and labels in _embedded no more is kept than the one string that Ticket has a field for: nobody here needs
// their e-mail addresses, names and telephone numbers. The exception is an object in which that string is missing, which is kept whole. An
// access token is never kept: neither a member named token, nor a change of it in a list. Bodies are expected to have gone through
// [Redact], which finds one also inside the values that are kept as they are.
package event
