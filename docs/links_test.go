// Package docs_test checks what the pages claim about this repository: that what they link to and name is there, and that every page can
// be found.
package docs_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// page is one Markdown file.
type page struct {
	// links are its destinations as written, those outside of the repository left out.
	links []string
	// anchors are what a link may have after #.
	anchors map[string]bool
	// code is the text of its code spans and blocks.
	code []string
}

// pages are all Markdown files of the repository, by path.
var pages = readPages()

func readPages() map[string]*page {
	all := map[string]*page{}
	err := fs.WalkDir(os.DirFS(".."), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (path == "dist" || path == "bin" || entry.Name() == "node_modules" || entry.Name() == "test-results" || strings.HasPrefix(entry.Name(), ".") && path != "."):
			return fs.SkipDir
		case filepath.Ext(path) == ".md":
			source, err := os.ReadFile(filepath.Join("..", path))
			all[path] = read(source)
			return err
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return all
}

func read(source []byte) *page {
	p := &page{anchors: map[string]bool{}}
	seen := map[string]int{}
	tree := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	_ = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			p.link(string(n.Destination))
		case *ast.Image:
			p.link(string(n.Destination))
		case *ast.Heading:
			anchor := slug(plain(n, source))
			if seen[anchor]++; seen[anchor] > 1 {
				anchor = fmt.Sprintf("%s-%d", anchor, seen[anchor]-1)
			}
			p.anchors[anchor] = true
		case *ast.CodeSpan:
			p.code = append(p.code, plain(n, source))
		case *ast.FencedCodeBlock:
			p.code = append(p.code, string(n.Lines().Value(source)))
		case *ast.CodeBlock:
			p.code = append(p.code, string(n.Lines().Value(source)))
		}
		return ast.WalkContinue, nil
	})
	return p
}

func (p *page) link(destination string) {
	if !strings.Contains(destination, "://") && !strings.HasPrefix(destination, "mailto:") {
		p.links = append(p.links, destination)
	}
}

// plain is the text of a node without its marks.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Value(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// slug is the anchor that GitHub gives to a heading.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// follow resolves a link of a page to a path below the repository and an anchor.
func follow(from, link string) (path, anchor string) {
	path, anchor, _ = strings.Cut(link, "#")
	if path == "" {
		return from, anchor
	}
	return filepath.Join(filepath.Dir(from), path), anchor
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	for _, from := range slices.Sorted(maps.Keys(pages)) {
		for _, link := range pages[from].links {
			path, anchor := follow(from, link)
			if _, err := os.Stat(filepath.Join("..", path)); err != nil {
				t.Errorf("%s links to %s, which is not there", from, link)
				continue
			}
			if to := pages[path]; anchor != "" && (to == nil || !to.anchors[anchor]) {
				t.Errorf("%s links to %s, which has no such heading", from, link)
			}
		}
	}
}

func TestEveryPageIsFoundFromTheIndex(t *testing.T) {
	found := map[string]bool{}
	for next := []string{"docs/README.md"}; len(next) > 0; next = next[1:] {
		here := next[0]
		if found[here] || pages[here] == nil {
			continue
		}
		found[here] = true
		for _, link := range pages[here].links {
			to, _ := follow(here, link)
			next = append(next, to, filepath.Join(to, "README.md"))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(pages)) {
		if !found[path] {
			t.Errorf("nobody gets from docs/README.md to %s", path)
		}
	}
}

var (
	// named are paths of this repository in code: the last part may end in * and the whole must not be part of a longer word.
	named   = regexp.MustCompile(`(?:^|[\s("'=./])((?:\.ci|api|cmd|config|controllers|docs|hack|internal|web)/[\w./*-]*[\w*])`)
	ordered = regexp.MustCompile(`(?:^|[^\w-])make ((?:[a-z][\w-]* ?)+)`)
	target  = regexp.MustCompile(`(?m)^([a-z][\w-]*):`)
)

func TestWhatIsNamedIsThere(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	for _, from := range slices.Sorted(maps.Keys(pages)) {
		for _, code := range pages[from].code {
			for _, m := range named.FindAllStringSubmatch(code, -1) {
				if there, err := filepath.Glob(filepath.Join("..", m[1])); err != nil || len(there) == 0 {
					t.Errorf("%s names %s, which is not there", from, m[1])
				}
			}
			for _, m := range ordered.FindAllStringSubmatch(code, -1) {
				for name := range strings.FieldsSeq(m[1]) {
					if !targets[name] {
						t.Errorf("%s says `make %s`, and the Makefile has no such target", from, name)
					}
				}
			}
		}
	}
}

func TestTheMapOfTheCodeIsWhole(t *testing.T) {
	said := strings.Join(pages["CONTRIBUTING.md"].code, "\n")
	for _, parent := range []string{"api", "cmd", "config", "hack", "internal"} {
		folders, err := os.ReadDir(filepath.Join("..", parent))
		if err != nil {
			t.Fatal(err)
		}
		for _, folder := range folders {
			if path := parent + "/" + folder.Name(); folder.IsDir() && !regexp.MustCompile(regexp.QuoteMeta(path)+`\b`).MatchString(said) {
				t.Errorf("the map in CONTRIBUTING.md lacks %s", path)
			}
		}
	}
}
