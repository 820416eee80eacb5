package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// account is the user that runs the server instead of root, which PostgreSQL refuses.
type account struct {
	name     string
	uid, gid uint32
}

// serverAccount returns nil when the server can run as the present user.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, fmt.Errorf("read the ids of user %s: %w", name, err)
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root and there is no user postgres or nobody: create one, or do not run this as root")
}

// tempPrefix is followed by the id of the process that owns the directory.
const tempPrefix = "latency-pgtest-"

// dataDir makes the directory for the data and gives it to the server's user; own says that it is temporary.
func dataDir(dir string, user *account) (path string, own bool, err error) {
	if dir == "" {
		own = true
		dir, err = tempDir(user)
	} else if dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", false, fmt.Errorf("make a directory for PostgreSQL's data: %w", err)
	}
	if user == nil {
		return dir, own, nil
	}
	if shut := unreachable(filepath.Dir(dir)); shut != "" {
		return "", false, fmt.Errorf("PostgreSQL runs as user %s, who may not enter %s: choose a data directory elsewhere", user.name, shut)
	}
	if err := os.Chown(dir, int(user.uid), int(user.gid)); err != nil {
		return "", false, fmt.Errorf("give PostgreSQL's data directory to user %s: %w", user.name, err)
	}
	return dir, own, nil
}

// tempDir prefers the configured temporary directory, and /tmp when the server's user cannot enter that.
func tempDir(user *account) (string, error) {
	parent := os.TempDir()
	if user != nil && unreachable(parent) != "" {
		parent = "/tmp"
	}
	removeOrphans(parent)
	return os.MkdirTemp(parent, fmt.Sprintf("%s%d-", tempPrefix, os.Getpid()))
}

// unreachable returns the first directory on the way to path that not everybody may enter.
func unreachable(path string) string {
	shut := ""
	for ; ; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o001 == 0 {
			shut = path
		}
		if path == filepath.Dir(path) {
			return shut
		}
	}
}

// removeOrphans deletes the directories of processes that were killed before they could do so themselves.
func removeOrphans(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, tempPrefix+"*"))
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), tempPrefix), "-")
		if pid, err := strconv.Atoi(owner); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}
