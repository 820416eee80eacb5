//go:build unix && !linux

package child

import "syscall"

// tie cannot ask these systems to end a child with its parent.
func tie(*syscall.SysProcAttr, syscall.Signal) {}
