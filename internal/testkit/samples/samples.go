// Package samples holds sample deliveries: bodies as Allthings could send them, made up from the fields that its public documents and
// SDK name. They are nobody's data. The tests use them, and so does the quick start.
//
//   - created-full: every field that the SDK knows
//   - created-minimal: only what cannot be missing
//   - created-numbers: a number where newer payloads have a string; fields that are not modelled; 2^53+1 must survive
//   - created-unknown-status: status_text keeps it, the enum is UNSPECIFIED
//   - updated-status: plain new values
//   - updated-old-new: old and new in three forms
//   - updated-clear: null and an empty list clear
//   - updated-closed: closes the ticket
//   - updated-before-created: arrives alone, so the ticket is not complete
//   - updated-snapshot: the whole ticket beside its delta; the delta wins
//   - created-live-forms: forms that the live API is known or likely to use: customSettings as an object, [] and {} for empty, a zero date
//   - updated-live-forms: old and new in lists of two, also of lists and of customSettings; a date as an object
//   - unexpected-event: refused with 400, and kept as rejected
package samples

import "embed"

// Files holds the bodies, to the byte as they are to be signed, each named for what it shows with .json behind it.
//
//go:embed *.json
var Files embed.FS
