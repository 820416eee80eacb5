package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func TestThePageHasEveryCommandAndFlag(t *testing.T) {
	raw, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	root := newRoot(genericiooptions.NewTestIOStreamsDiscard())
	root.InitDefaultHelpFlag()
	known := []string{"--help", "--keep-finished"} // the second is the operator's
	for _, cmd := range root.Commands() {
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + cmd.Name() + "\\b[^|]*\\|").MatchString(page) {
			t.Errorf("the page lacks the command %s", cmd.Name())
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			known = append(known, "--"+f.Name)
			if f.Name == "help" {
				return
			}
			row := regexp.MustCompile("(?m)^\\|[^|]*`--" + f.Name + "`[^|]*\\|([^|]*)\\|").FindStringSubmatch(page)
			switch {
			case row == nil:
				t.Errorf("the page lacks --%s of %s", f.Name, cmd.Name())
			case !strings.Contains(row[1], "`"+cmd.Name()+"`") && !strings.Contains(row[1], "all but"):
				t.Errorf("the page says that --%s is of %s, and it is of %s", f.Name, row[1], cmd.Name())
			}
		})
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	for _, m := range regexp.MustCompile("`(--[a-z-]+)").FindAllStringSubmatch(page, -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("%s does not exist", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?:kubectl|oc) soundcheck ([a-z]+)`).FindAllStringSubmatch(page, -1) {
		if found, _, err := root.Find([]string{m[1]}); m[1] != "shows" && (err != nil || found == root) {
			t.Errorf("the command %s does not exist", m[1])
		}
	}
	for _, variable := range []string{keyVariable, tokenVariable, "NO_COLOR"} {
		if !strings.Contains(page, variable) {
			t.Errorf("the page lacks %s", variable)
		}
	}
}

// Each command says in full sentences what it does, and shows how.
func TestHelpIsThere(t *testing.T) {
	for _, cmd := range newRoot(genericiooptions.NewTestIOStreamsDiscard()).Commands() {
		var problems []string
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			problems = append(problems, "its first line")
		}
		if cmd.Example == "" && cmd.Name() != "options" {
			problems = append(problems, "its examples")
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.HasSuffix(strings.TrimRight(f.Usage, "]"), ".") && f.Name != "template" && f.Name != "allow-missing-template-keys" {
				problems = append(problems, "--"+f.Name)
			}
		})
		for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if len([]rune(line)) > 140 {
				problems = append(problems, "a long line: "+line)
			}
		}
		if len(problems) > 0 {
			t.Errorf("%s: %s", cmd.Name(), strings.Join(problems, ", "))
		}
	}
}
