//go:build !linux

package main

// stopWithParent needs Linux.
func stopWithParent() {}
