// Package ticketfields has the table of the provider's fields: the name and the kind of each field, and the field of the contract's message
// Ticket that holds it. A new field of a known kind is one line of the contract and one row here: see CONTRIBUTING.md.
package ticketfields

import "slices"

// Kind is the kind of a field's values.
type Kind uint8

// The lists are the last kinds.
const (
	// Unknown is the kind of a field that is not in the table. Its values may have any type.
	Unknown Kind = iota
	// Scalar is a value of any type except a list, of a field that Ticket does not model.
	Scalar
	// String is a string.
	String
	// IntegerString is an integer in older payloads and a string in newer ones. Ticket has the string.
	IntegerString
	// ID is an id.
	ID
	// ObjectName is a string, or an object that has the string as its name.
	ObjectName
	// Count is an integer of 32 bits.
	Count
	// Date is a date.
	Date
	// Strings is a list of strings.
	Strings
	// IDs is a list of ids.
	IDs
	// Settings is a list of custom settings.
	Settings
	// Paths is a list of lists, of a field that Ticket does not model.
	Paths
)

// IsList reports whether values of the kind are lists.
func (k Kind) IsList() bool { return k >= Strings }

// Field is a field of the provider.
type Field struct {
	// Name is the name of the field in the provider's ticket. Empty if the ticket itself does not have the field.
	Name string
	// Contract is the name of the field in the contract's message Ticket. Empty if Ticket does not model the field, which is an attribute.
	Contract string
	Kind     Kind
	// Embedded is the name of the member of the provider's _embedded object that stands in for the field. Empty if there is none.
	Embedded string
	// KeepEmbedded is set if that member is an attribute too. The other members are users, or have only an id and names.
	KeepEmbedded bool
}

// Attribute returns the key of the field's attribute, which has the value if the field can't hold it. Empty for a field that is read from
// the event instead of from the ticket.
func (f Field) Attribute() string {
	switch {
	case f.Name != "":
		return f.Name
	case f.Embedded != "":
		return "_embedded." + f.Embedded
	default:
		return ""
	}
}

// table has first the fields that Ticket models, in the order of the contract. Source: the SDK's ticket. The SDK has createdBy only in
// _embedded. If it came among the other fields, its user's data must not become an attribute.
var table = [...]Field{
	{Contract: "app_id", Kind: ID}, // from the event's URN
	{Name: "incrementID", Contract: "increment_id", Kind: IntegerString},
	{Name: "title", Contract: "title", Kind: String},
	{Name: "description", Contract: "description", Kind: String},
	{Name: "status", Contract: "status_text", Kind: String},
	{Name: "category", Contract: "category_id", Kind: ID, Embedded: "category", KeepEmbedded: true},
	{Name: "assignedTo", Contract: "assignee_id", Kind: ID, Embedded: "assignedTo"},
	{Name: "createdBy", Contract: "creator_id", Kind: ID, Embedded: "createdBy"},
	{Contract: "property_id", Kind: ID, Embedded: "property"},
	{Contract: "unit_name", Kind: ObjectName, Embedded: "unit"},
	{Name: "channels", Contract: "channels", Kind: Strings},
	{Name: "labels", Contract: "label_ids", Kind: IDs, Embedded: "labels"},
	{Name: "tags", Contract: "tags", Kind: Strings},
	{Name: "files", Contract: "file_ids", Kind: IDs, Embedded: "files", KeepEmbedded: true},
	{Name: "phoneNumber", Contract: "phone_number", Kind: String},
	{Name: "customSettings", Contract: "custom_settings", Kind: Settings},
	{Name: "commentCount", Contract: "comment_count", Kind: Count},
	{Name: "createdAt", Contract: "create_time", Kind: Date},
	{Name: "updatedAt", Contract: "update_time", Kind: Date},
	{Name: "lastStatusUpdate", Contract: "last_status_update_time", Kind: Date},

	{Name: "channelPaths", Kind: Paths},
	{Name: "customerWaitingSince", Kind: Scalar},
	{Name: "customerWaitingSinceIndicator", Kind: Scalar},
	{Name: "read", Kind: Scalar},
	{Name: "sortHash", Kind: Scalar},
	{Name: "unreadAdminMessages", Kind: Scalar},
	{Name: "unreadUserMessages", Kind: Scalar},
}

// All returns the fields of the provider in the order of the table: first those that Ticket models, in the order of the contract.
func All() []Field { return slices.Clone(table[:]) }

// Modelled returns the fields that Ticket models, in the order of the contract.
func Modelled() []Field {
	return slices.DeleteFunc(All(), func(f Field) bool { return f.Contract == "" })
}
