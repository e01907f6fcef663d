package tickettest

import (
	"runtime/debug"
	"slices"
)

// Share returns a number of what a test does, and a fifth of it under the race detector, with which all takes six times as long.
func Share(number int) int {
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return number / 5
	}
	return number
}
