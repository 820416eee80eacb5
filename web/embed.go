// Package web holds the built page of Sound Check.
package web

import (
	"embed"
	"errors"
	"io/fs"
)

// The folder holds nothing but .gitkeep until the page is built.
//
//go:embed all:dist
var dist embed.FS

// ErrNotBuilt means that the page was not built before the program was.
var ErrNotBuilt = errors.New("the page is not built into this program: run make web, and build the program again")

// Files gives the files of the page, index.html at the top; ErrNotBuilt where there are none.
func Files() (fs.FS, error) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	if _, err := fs.Stat(files, "index.html"); err != nil {
		return nil, ErrNotBuilt
	}
	return files, nil
}
