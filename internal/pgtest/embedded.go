//go:build !noembeddedpostgres

package pgtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

const embeddedVersion = embeddedpostgres.V17

// embedded returns the directory of the programs of a PostgreSQL that it downloads (about 20 MB) the first time.
func embedded() (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	return fetch(cache, "https://repo1.maven.org/maven2")
}

func fetch(cache, repository string) (string, error) {
	root := filepath.Join(cache, "postgresql-"+string(embeddedVersion))
	bin := filepath.Join(root, "bin")
	if executable(filepath.Join(bin, "postgres")) == nil {
		return bin, nil
	}
	scratch, err := os.MkdirTemp("", "latency-pgtest-unpack-")
	if err != nil {
		return "", fmt.Errorf("unpack PostgreSQL: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	port, err := freePort()
	if err != nil {
		return "", err
	}
	config := embeddedpostgres.DefaultConfig().Version(embeddedVersion).Port(uint32(port)).Logger(io.Discard).
		CachePath(cache).BinariesPath(root).RuntimePath(scratch).
		// The library only unpacks as a first step of starting a server of its own, which it cannot do as root.
		// We want the first step alone: the second one meets a locale that does not exist.
		Locale("unpack-only").
		BinaryRepositoryURL(repository)
	server := embeddedpostgres.NewDatabase(config)
	err = server.Start()
	if err == nil {
		err = server.Stop()
	}
	if unpacked := executable(filepath.Join(bin, "postgres")); unpacked != nil {
		return "", fmt.Errorf("fetch PostgreSQL %s: %w", embeddedVersion, errors.Join(err, unpacked))
	}
	return bin, nil
}

// cacheDir is a directory that outlives this process and that the server's user can enter.
func cacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/latency-operator", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place to keep PostgreSQL: %w", err)
	}
	return filepath.Join(dir, "latency-operator"), nil
}
