package event

// Finding is a value that came in another form than the documented one.
type Finding struct {
	// Field is the place of the value, such as "data.delta.phoneNumber". It has no names that are not in the provider's contract, for those
	// may be personal.
	Field string
	// Form is what the value is instead, one of a few constants such as "number". It never holds a value.
	Form string
	// Kept is set where the request has the exact JSON of the value among the ticket's attributes, because the field of Ticket can't hold the
	// value. It is not set where the value was read all the same.
	Kept bool
}

// form is a form of a value other than the documented one, and "" for the documented one.
type form string

// The kinds of JSON values, for a value of another kind than the documented one.
const (
	aString  form = "string"
	aNumber  form = "number"
	aBoolean form = "boolean"
	anObject form = "object"
	aList    form = "list"
	aNull    form = "null"
)

// Other forms.
const (
	missing          form = "missing"
	emptyString      form = "empty string"
	emptyObject      form = "empty object"
	emptyList        form = "empty list"
	notUTF8          form = "string that UTF-8 can't hold"
	otherCount       form = "number that is no integer of 32 bits"
	noID             form = "value that is no id"
	noCount          form = "string that is no integer of 32 bits"
	numberedObject   form = "object with the keys of a list"
	settingKey       form = "setting whose key or type is no string"
	elementChange    form = "element change"
	onlyOld          form = "old value without a new one"
	listOfChanges    form = "list of changes"
	unreadableChange form = "list with changes that can't be read in full"
	tooManyElements  form = "too many elements"

	zeroDate      form = "zero date"
	noOffset      form = "date without an offset"
	withoutTime   form = "date without a time"
	digits        form = "string of digits"
	dateObject    form = "object with a date"
	noDateString  form = "string that is no date"
	noDateNumber  form = "number that is no date"
	noDateObject  form = "object that is no date"
	listOfNumber  form = "list with a number"
	listOfBoolean form = "list with a boolean"
	listOfObject  form = "list with an object"
	listOfList    form = "list with a list"
	listOfNull    form = "list with null"
	listOfString  form = "list with a string"
)

// inList returns the form of a list that has an element of that form.
func (f form) inList() form {
	switch f {
	case aNumber:
		return listOfNumber
	case aBoolean:
		return listOfBoolean
	case anObject, emptyObject:
		return listOfObject
	case aList, emptyList:
		return listOfList
	case aNull:
		return listOfNull
	case aString:
		return listOfString
	default:
		return f
	}
}

// kindOf returns the kind of a JSON value.
func kindOf(value []byte) form {
	switch value[0] {
	case '"':
		return aString
	case '{':
		return anObject
	case '[':
		return aList
	case 'n':
		return aNull
	case 't', 'f':
		return aBoolean
	default:
		return aNumber
	}
}

// reading is what became of a value of a field.
type reading struct {
	// form is "" when the value came in the documented form.
	form form
	// exact is the JSON that has to be kept among the attributes, because the ticket's field can't hold the value. Nil when the field holds
	// it.
	exact []byte
}

// unreadable reports whether the ticket's field can't show the value at all.
func (r reading) unreadable() bool { return r.exact != nil && r.form != notUTF8 }
