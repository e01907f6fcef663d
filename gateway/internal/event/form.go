package event

// Finding is a value that came in another form than the documented one.
type Finding struct {
	// Field is the path of the value, such as "data.delta.phoneNumber". It has only names of the provider's contract, because other names may
	// be personal.
	Field string
	// Form is the form of the value, one of a few constants such as "number". It never holds a value.
	Form string
	// Kept is true if the field of Ticket can't hold the value. The exact JSON of the value is then among the ticket's attributes.
	Kept bool
}

// form is the form of a value: "" for the documented form.
type form string

// The kinds of JSON values.
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

// inList returns the form of a list that has an element of the form f.
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

// reading is the outcome of reading a field's value.
type reading struct {
	// form is "" for a value in the documented form.
	form form
	// exact is the JSON that must be kept among the attributes, because the ticket's field can't hold the value. Nil if the field holds it.
	exact []byte
}

// unreadable reports whether the ticket's field has to stay empty.
func (r reading) unreadable() bool { return r.exact != nil && r.form != notUTF8 }
