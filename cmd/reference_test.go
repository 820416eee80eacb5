package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func reference(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestReferenceHasEverySetting(t *testing.T) {
	page := reference(t)
	parser, err := kong.New(&options{}, kong.Vars{"version": "v"})
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ACCESS_TOKEN", "SPOOL_DIR", "POD_NAME", "POD_UID", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"}
	command, err := kong.New(&doctorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range command.Model.Flags {
		known = append(known, "--"+flag.Name)
	}
	for _, flag := range parser.Model.Flags {
		if flag.Name == "help" {
			continue
		}
		row := regexp.MustCompile("(?m)^.*`--" + flag.Name + "`.*$").FindString(page)
		known = append(append(known, "--"+flag.Name), flag.Envs...)
		for _, part := range append([]string{flag.Default}, flag.Envs...) {
			if part != "" && !strings.Contains(row, "`"+part+"`") {
				t.Errorf("the row of --%s lacks %q: %q", flag.Name, part, row)
			}
		}
		if row == "" {
			t.Errorf("--%s is missing", flag.Name)
		}
	}
	for _, m := range regexp.MustCompile("`(--[a-z-]+|[A-Z]+_[A-Z_]+)[ `]").FindAllStringSubmatch(page, -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("%s does not exist", m[1])
		}
	}
}

func TestReferenceHasEveryCheck(t *testing.T) {
	page := reference(t)
	c := &clinic{opts: &options{}}
	for _, chain := range c.chains(true) {
		for _, check := range chain {
			if !strings.Contains(page, "`"+check.Name+"`") {
				t.Errorf("%s is missing", check.Name)
			}
		}
	}
}

func TestReferenceHasEveryConditionAndEvent(t *testing.T) {
	page := reference(t)
	for file, prefixes := range map[string][]string{
		"../api/v1alpha1/conditions.go": {"Condition", "Reason"},
		"../controllers/events.go":      {"Event"},
		"../controllers/herald.go":      {"Event"},
	} {
		names := constants(t, file, prefixes)
		if len(names) == 0 {
			t.Errorf("%s has no constants any more", file)
		}
		for _, name := range names {
			if !strings.Contains(page, "`"+name+"`") {
				t.Errorf("%s of %s is missing", name, file)
			}
		}
	}
}

// constants lists the values of a file's text constants whose names begin with one of the prefixes.
func constants(t *testing.T, file string, prefixes []string) (values []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(spec.Names[0].Name, p) }) {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	return values
}
