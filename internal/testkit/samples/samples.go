// Package samples has sample deliveries: bodies as Allthings could send them, with the fields of its public documents and SDK. The data is
// invented. The tests and the quick start use the samples.
//
//   - created-full: every field that the SDK knows
//   - created-minimal: only the required fields
//   - created-numbers: a number for which newer payloads have a string; fields that are not modelled; 2^53+1 must survive
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

// Files has the bodies, byte for byte as they are signed. The name of a file is its name in the list above, with the extension .json.
//
//go:embed *.json
var Files embed.FS
