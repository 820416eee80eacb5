package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/soundcheck-io/latency-operator/internal/page"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest/postgrest"
)

func tokenFor(role string) string {
	return postgrest.TokenFor([]byte("a-secret-that-is-long-enough-for-it"), map[string]any{"role": role, "exp": 4102444800})
}

func TestOnlyWhatEverybodyMayHaveIsHandedOut(t *testing.T) {
	const url, key = "https://abc.supabase.co", "sb_publishable_x"
	for name, tc := range map[string]struct {
		o    options
		says string // nothing where all is well
		want page.Config
	}{
		"a publishable key": {options{SupabaseURL: url + "/", key: key, SignIn: "supabase"}, "", page.Config{SupabaseURL: url, PublishableKey: key, SignIn: "supabase", Version: "v1"}},
		"an anon key":       {options{SupabaseURL: url + "/rest/v1/", key: tokenFor("anon"), SignIn: "none"}, "", page.Config{SupabaseURL: url, PublishableKey: tokenFor("anon"), SignIn: "none", Version: "v1"}},
		"a token of a user": {options{SupabaseURL: url, key: key, SignIn: "supabase", token: tokenFor("authenticated")}, "",
			page.Config{SupabaseURL: url, PublishableKey: key, SignIn: "token", AccessToken: tokenFor("authenticated"), Version: "v1"}},

		"no URL":                   {options{key: key}, "SUPABASE_URL is not set", page.Config{}},
		"no URL at all":            {options{SupabaseURL: "abc.supabase.co", key: key}, "SUPABASE_URL is not a project's URL", page.Config{}},
		"no key":                   {options{SupabaseURL: url}, "SUPABASE_PUBLISHABLE_KEY is not set", page.Config{}},
		"a secret key":             {options{SupabaseURL: url, key: "sb_secret_x", SignIn: "none"}, "SUPABASE_PUBLISHABLE_KEY is for the role service_role, and every browser would be given it", page.Config{}},
		"a service_role key":       {options{SupabaseURL: url, key: tokenFor("service_role"), SignIn: "none"}, "is for the role service_role", page.Config{}},
		"the operator's own token": {options{SupabaseURL: url, key: tokenFor("latency_operator"), SignIn: "none"}, "is for the role latency_operator", page.Config{}},
		"no key at all":            {options{SupabaseURL: url, key: "hunter2", SignIn: "none"}, "SUPABASE_PUBLISHABLE_KEY is neither a key nor a token of Supabase", page.Config{}},
		"a key with a line break":  {options{SupabaseURL: url, key: "sb_publishable_\nx", SignIn: "none"}, "SUPABASE_PUBLISHABLE_KEY holds a space", page.Config{}},
		"a token of service_role":  {options{SupabaseURL: url, key: key, SignIn: "none", token: tokenFor("service_role")}, "CONSOLE_DEMO_TOKEN is for the role service_role", page.Config{}},
		"a key in a token's place": {options{SupabaseURL: url, key: key, SignIn: "none", token: "sb_publishable_y"}, "CONSOLE_DEMO_TOKEN is a key and not a token", page.Config{}},
		"another way to sign in":   {options{SupabaseURL: url, key: key, SignIn: "ldap"}, `CONSOLE_SIGN_IN is "ldap": give supabase or none`, page.Config{}},
	} {
		got, err := tc.o.config("v1", clocktesting.NewFakePassiveClock(time.Unix(0, 0)))
		switch {
		case tc.says == "" && (err != nil || got != tc.want):
			t.Errorf("%s: %+v %v", name, got, err)
		case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatTemplatesLeaveBehindChangesNothing(t *testing.T) {
	g := NewWithT(t)
	for name, value := range map[string]string{
		"SUPABASE_URL": " https://abc.supabase.co/\n", "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x\n",
		"CONSOLE_SIGN_IN": "", "CONSOLE_LISTEN": "", "CONSOLE_DEMO_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
	opts, err := parse(nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(opts.Listen).To(Equal(":8080"), "not any port")
	g.Expect(opts.config("v1", clocktesting.NewFakePassiveClock(time.Unix(0, 0)))).To(Equal(
		page.Config{SupabaseURL: "https://abc.supabase.co", PublishableKey: "sb_publishable_x", SignIn: page.SignInSupabase, Version: "v1"}))

	_, err = parse([]string{"--publishable-key=sb_publishable_x"})
	g.Expect(err).To(MatchError(ContainSubstring("unknown flag")), "keys have no flag")
}

func TestAnswersUnderWayEndWithTheirProgram(t *testing.T) {
	g := NewWithT(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	arrived, go1 := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-go1
		w.WriteHeader(http.StatusNoContent)
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, slow, logr.Discard(), &page.Config{}) }()
	answered := make(chan int, 1)
	go func() {
		req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, "http://"+listener.Addr().String(), nil)
		if err != nil {
			panic(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			answered <- 0
			return
		}
		_ = res.Body.Close()
		answered <- res.StatusCode
	}()
	<-arrived
	stop()
	g.Consistently(ended, "100ms").ShouldNot(Receive())
	close(go1)
	g.Expect(<-answered).To(Equal(http.StatusNoContent))
	g.Expect(<-ended).To(Succeed())
}

func TestTheConsolesPageOfTheDocumentationHasEverySetting(t *testing.T) {
	text, err := os.ReadFile("../../docs/console.md")
	if err != nil {
		t.Fatal(err)
	}
	parser, err := kong.New(&options{}, kong.Vars{"version": "v"})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{keyVariable: true, tokenVariable: true}
	for _, flag := range parser.Model.Flags {
		if flag.Name == "help" {
			continue
		}
		row := regexp.MustCompile("(?m)^.*`--" + flag.Name + "`.*$").FindString(string(text))
		known["--"+flag.Name] = true
		for _, part := range append([]string{flag.Default}, flag.Envs...) {
			known[part] = true
			if part != "" && !strings.Contains(row, "`"+part+"`") {
				t.Errorf("the row of --%s lacks %q: %q", flag.Name, part, row)
			}
		}
		if row == "" {
			t.Errorf("--%s is missing", flag.Name)
		}
	}
	for _, m := range regexp.MustCompile("`(--[a-z-]+|(?:SUPABASE|CONSOLE)_[A-Z_]+)[`=]").FindAllStringSubmatch(string(text), -1) {
		if !known[m[1]] {
			t.Errorf("%s does not exist", m[1])
		}
	}
}
