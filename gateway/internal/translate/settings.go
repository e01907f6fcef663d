package translate

import (
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

func decodeCustomSettings(ticket *ticketv1.Ticket, value []byte) ([]byte, error) {
	if value[0] != '[' {
		return nil, wantSettings
	}
	var settings []*ticketv1.CustomSetting
	var exact []byte
	for element := range elements(value) {
		if element[0] != '{' {
			return nil, wantSettings
		}
		setting, isExact, err := readCustomSetting(element)
		if err != nil {
			return nil, err
		}
		settings = append(settings, setting)
		if !isExact {
			exact = value
		}
	}
	ticket.CustomSettings = settings
	return exact, nil
}

// readCustomSetting reads one setting, and reports whether UTF-8 can hold its texts.
func readCustomSetting(object []byte) (setting *ticketv1.CustomSetting, isExact bool, err error) {
	setting = &ticketv1.CustomSetting{}
	isExact = true
	text := func(value []byte) string {
		text, exact := unquote(value)
		isExact = isExact && exact == nil
		return text
	}
	for name, value := range members(object) {
		isText := value[0] == '"'
		switch string(name) {
		case "key", "type":
			if !isText && !isNull(value) {
				return nil, false, wantSettings
			}
			if !isText {
				continue
			}
			if string(name) == "key" {
				setting.Key = text(value)
			} else {
				setting.Type = text(value)
			}
		case "value":
			switch {
			case isText:
				setting.Kind = &ticketv1.CustomSetting_Value{Value: text(value)}
			case !isNull(value):
				setting.Kind = &ticketv1.CustomSetting_ValueJson{ValueJson: string(value)}
			}
		case tokenName:
		default:
			if setting.Attributes == nil {
				setting.Attributes = make(map[string]string)
			}
			setting.Attributes[string(name)] = string(value)
		}
	}
	return setting, isExact, nil
}
