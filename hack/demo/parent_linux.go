package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// init keeps the main goroutine on the main thread, which lasts as long as the process.
func init() { runtime.LockOSThread() }

// stopWithParent has SIGTERM sent when `go run` is killed, which does not pass that on: otherwise the demo would go on
// after `timeout 60 make demo`.
func stopWithParent() { _ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0) }
