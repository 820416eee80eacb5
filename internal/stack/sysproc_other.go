//go:build unix && !linux

package stack

import "syscall"

// tied cannot ask these systems to end a child with its parent.
func tied(attr *syscall.SysProcAttr) *syscall.SysProcAttr { return attr }
