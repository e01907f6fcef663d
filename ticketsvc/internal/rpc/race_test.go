//go:build race && linux

package rpc_test

// The race detector keeps several bytes for each.
func init() { raceMemory = 4 }
