package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// binaries returns the directory of postgres and initdb.
var binaries = sync.OnceValues(func() (string, error) {
	if dir, ok := installed("/usr/lib/postgresql/*/bin"); ok {
		return dir, nil
	}
	dir, err := embedded()
	if err != nil {
		return "", fmt.Errorf("no PostgreSQL found: install it (Debian: apt-get install postgresql), or put postgres and initdb on the PATH, or let this machine download it: %w", err)
	}
	return dir, nil
})

// installed looks on the PATH, then in directories that match pattern, where the parent's name is the version, from
// the newest down.
func installed(pattern string) (dir string, ok bool) {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// Distributions link single programs into the PATH; their siblings are where the link points.
		if target, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	versioned, err := filepath.Glob(pattern)
	if err != nil {
		versioned = nil
	}
	slices.SortFunc(versioned, func(a, b string) int { return version(b) - version(a) })
	for _, dir := range append(dirs, versioned...) {
		if executable(filepath.Join(dir, "postgres")) == nil && executable(filepath.Join(dir, "initdb")) == nil {
			return dir, true
		}
	}
	return "", false
}

func version(bin string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	if err != nil {
		return 0
	}
	return n
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() || info.Mode().Perm()&0o111 == 0 {
		return errors.New(path + " cannot be run")
	}
	return nil
}
