package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The Dockerfile copies folders, and .dockerignore keeps most files from it: what the programs are made of has to come through both.
func TestTheDockerfileCopiesWhatItBuilds(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	var copied, admitted, refused, left []string
	for _, line := range lines(t, filepath.Join(root, "Dockerfile")) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "COPY" && !strings.HasPrefix(fields[1], "--") {
			copied = append(copied, fields[1:len(fields)-1]...)
		}
	}
	for _, line := range lines(t, filepath.Join(root, ".dockerignore")) {
		if name, ok := strings.CutPrefix(line, "!"); ok {
			admitted = append(admitted, name)
		} else if name, ok := strings.CutPrefix(line, "**/"); ok {
			refused = append(refused, name)
		} else if strings.Contains(line, "/") && !strings.HasPrefix(line, "#") {
			left = append(left, line)
		}
	}
	for _, file := range sources(t, root) {
		if below(file, []string{"web/dist"}) {
			continue // the page, which a stage of its own builds
		}
		if !below(file, copied) {
			t.Errorf("the Dockerfile does not copy %s", file)
		}
		if !below(file, admitted) || anyPart(file, refused) || below(file, left) {
			t.Errorf(".dockerignore keeps %s from the Dockerfile", file)
		}
	}
}

// The page is built with the same Node.js wherever it is built.
func TestTheDockerfileHasTheNodeOfTheRepository(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	_, version, found := strings.Cut(strings.Join(lines(t, filepath.Join(root, "hack", "node.sh")), "\n"), "NODE_VERSION:=")
	version, _, _ = strings.Cut(version, "}")
	if want := "FROM --platform=$BUILDPLATFORM node:" + version + "-slim AS build-page"; !found || !slices.Contains(lines(t, filepath.Join(root, "Dockerfile")), want) {
		t.Errorf("the Dockerfile has not the line %s", want)
	}
}

// sources are the files of the repository in the programs of the images, and those embedded in them.
func sources(t *testing.T, root string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "noembeddedpostgres", "-json=Dir,GoFiles,EmbedFiles,Module", ".", "./simulator", "./console").Output()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var pkg struct {
			Dir                 string
			GoFiles, EmbedFiles []string
			Module              *struct{ Main bool }
		}
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		if pkg.Module == nil || !pkg.Module.Main {
			continue
		}
		for _, name := range append(pkg.GoFiles, pkg.EmbedFiles...) {
			file, err := filepath.Rel(root, filepath.Join(pkg.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, filepath.ToSlash(file))
		}
	}
	if len(files) < 100 {
		t.Fatalf("only %d files were found", len(files))
	}
	return files
}

// below tells whether the file is one of the paths or below one.
func below(file string, paths []string) bool {
	for _, p := range paths {
		if file == p || strings.HasPrefix(file, p+"/") {
			return true
		}
	}
	return false
}

// anyPart tells whether the file's name or a folder's on the way to it matches one of the patterns.
func anyPart(file string, patterns []string) bool {
	for part := range strings.SplitSeq(file, "/") {
		for _, pattern := range patterns {
			if ok, _ := path.Match(pattern, part); ok {
				return true
			}
		}
	}
	return false
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []string
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		out = append(out, scanner.Text())
	}
	return out
}
