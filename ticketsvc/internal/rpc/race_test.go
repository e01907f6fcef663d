//go:build race && linux

package rpc_test

// The race detector needs several bytes for each byte.
func init() { raceMemory = 4 }
