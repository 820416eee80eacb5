package spool

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// explain names the folder, and says what a person can do about an error of its file system.
func explain(dir, doing string, err error) error {
	switch {
	case noSpace(err):
		return fmt.Errorf("%s: the volume of %s is full, so make room on it, or make it larger than the spool's limit: %w", doing, dir, err)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%s: the volume of %s is read-only, so mount it writable: %w", doing, dir, err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: user %d may not write to %s, so give it to that user or to one of its groups (fsGroup in Kubernetes): %w",
			doing, os.Geteuid(), dir, err)
	default:
		return fmt.Errorf("%s in %s: %w", doing, dir, err)
	}
}

func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
