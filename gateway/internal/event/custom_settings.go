package event

import (
	"bytes"
	"unicode/utf8"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/elements"
)

// readCustomSettings reads customSettings in any of the forms that the package's documentation lists.
func readCustomSettings(value []byte) ([]*ticketv1.CustomSetting, reading) {
	r := settingsReading{value: value}
	switch kind := kindOf(value); {
	case kind == aList:
		for element := range items(value) {
			r.addElement(element)
		}
	case kind == anObject && isSetting(value):
		r.form = anObject
		r.addSetting(value)
	case kind == anObject && !isEmpty(value) && isNumbered(value) && hasOnlyKeyed(value):
		r.form = numberedObject
		for _, element := range members(value) {
			r.addElement(element)
		}
	case kind == anObject:
		for name, value := range members(value) {
			if !namesToken(name) {
				setting := &ticketv1.CustomSetting{Key: r.name(name)}
				r.setValue(setting, value)
				r.add(setting)
			}
		}
	default:
		return nil, reading{kind, value}
	}
	if r.unreadable() {
		return nil, r.reading
	}
	return r.settings, r.reading
}

// isSetting reports whether an object is one setting, of key, type and value. If not, it is an object from key to value.
func isSetting(object []byte) bool {
	hasKey, hasOther := false, false
	for name, value := range members(object) {
		switch string(name) {
		case "key":
			hasKey = value[0] != '{' && value[0] != '['
		case "type", "value":
			hasOther = true
		}
	}
	return hasKey && hasOther
}

// hasOnlyKeyed reports whether all values of an object are objects with a key. If one has no key, its number may be the setting's key.
func hasOnlyKeyed(object []byte) bool {
	for _, value := range members(object) {
		if value[0] != '{' || memberOf(value, "key") == nil {
			return false
		}
	}
	return true
}

// settingsReading is the state of [readCustomSettings].
type settingsReading struct {
	value    []byte
	settings []*ticketv1.CustomSetting
	// count is the number of elements: settings, and attributes of settings.
	count int
	reading
}

func (r *settingsReading) addElement(element []byte) {
	switch kind := kindOf(element); {
	case r.unreadable():
	case kind == anObject:
		r.addSetting(element)
	default:
		r.reading = reading{kind.inList(), r.value}
	}
}

func (r *settingsReading) addSetting(object []byte) {
	setting := &ticketv1.CustomSetting{}
	for name, value := range members(object) {
		if namesToken(name) {
			continue
		}
		switch string(name) {
		case "key":
			setting.Key = r.keyOrType(value)
		case "type":
			setting.Type = r.keyOrType(value)
		case "value":
			r.setValue(setting, value)
		default:
			if !r.countElement() {
				return
			}
			if setting.Attributes == nil {
				setting.Attributes = make(map[string]string)
			}
			setting.Attributes[r.name(name)] = string(value)
		}
	}
	r.add(setting)
}

func (r *settingsReading) add(setting *ticketv1.CustomSetting) {
	if r.countElement() {
		r.settings = append(r.settings, setting)
	}
}

// countElement counts one more element. It reports false if a request can't have the element; customSettings can't be typed then.
func (r *settingsReading) countElement() bool {
	if r.count++; r.count > elements.Max && !r.unreadable() {
		r.reading = reading{tooManyElements, r.value}
	}
	return !r.unreadable()
}

// keyOrType reads the key or the type of a setting.
func (r *settingsReading) keyOrType(value []byte) string {
	if isNull(value) {
		return ""
	}
	text, s := readString(value)
	switch {
	case s.unreadable():
		r.reading = reading{settingKey, r.value}
	case s.exact != nil:
		r.noteInexact()
	case s.form != "" && r.form == "":
		r.form = settingKey
	}
	return text
}

func (r *settingsReading) setValue(setting *ticketv1.CustomSetting, value []byte) {
	switch kindOf(value) {
	case aNull:
	case aString:
		text, isExact := unquote(value)
		if !isExact {
			r.noteInexact()
		}
		setting.SettingValue = &ticketv1.CustomSetting_Value{Value: string(text)}
	default:
		setting.SettingValue = &ticketv1.CustomSetting_ValueJson{ValueJson: string(value)}
	}
}

// name returns the name of a member as a string. U+FFFD in the name may stand for half of a surrogate pair, which UTF-8 can't hold.
func (r *settingsReading) name(name []byte) string {
	if bytes.ContainsRune(name, utf8.RuneError) {
		r.noteInexact()
	}
	return string(name)
}

// noteInexact sets the reading for a setting with a string that UTF-8 can't hold.
func (r *settingsReading) noteInexact() {
	if !r.unreadable() {
		r.reading = reading{notUTF8, r.value}
	}
}
