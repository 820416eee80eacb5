package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/build"
	"github.com/soundcheck-io/latency-operator/internal/environ"
	"github.com/soundcheck-io/latency-operator/internal/page"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	keyVariable    = "SUPABASE_PUBLISHABLE_KEY"
	tokenVariable  = "CONSOLE_DEMO_TOKEN"
	signInVariable = "CONSOLE_SIGN_IN"
)

// options are the console's settings. What is handed to every browser anyway is no secret; it has no flag all the same, so that nobody
// gives a secret key where all on the machine can read it.
type options struct {
	SupabaseURL string `env:"SUPABASE_URL" help:"URL of the Supabase project, as browsers reach it." placeholder:"URL"`
	SignIn      string `env:"CONSOLE_SIGN_IN" default:"supabase" help:"How the page gets to know who uses it: supabase, with Supabase Auth; or none, and everybody acts as the role anon."`
	Listen      string `env:"CONSOLE_LISTEN" default:":8080" help:"Where the page is served." placeholder:"ADDRESS"`

	LogFormat string           `default:"json" enum:"json,console" help:"json, or console for people."`
	Version   kong.VersionFlag `help:"Print the version."`

	// From the environment.
	key, token string
}

// config checks the settings and makes of them what the page is told. An error is one sentence that names the variable.
func (o *options) config(version string, clk clock.PassiveClock) (page.Config, error) {
	project := strings.TrimRight(strings.TrimSpace(o.SupabaseURL), "/")
	c := page.Config{SupabaseURL: strings.TrimSuffix(project, "/rest/v1"), PublishableKey: o.key, SignIn: o.SignIn, AccessToken: o.token, Version: version}
	switch {
	case project == "":
		return c, errors.New("SUPABASE_URL is not set: give the URL of the Supabase project, as browsers reach it")
	case supabase.CheckURL(o.SupabaseURL) != nil:
		return c, errors.New("SUPABASE_URL is not a project's URL: give it with http or https and nothing behind the host, such as https://abcdefgh.supabase.co")
	case o.key == "":
		return c, errors.New(keyVariable + " is not set: give the project's publishable key (sb_publishable_…, or the older anon key)")
	case o.SignIn != page.SignInSupabase && o.SignIn != page.SignInNone:
		return c, fmt.Errorf("%s is %q: give supabase or none", signInVariable, o.SignIn)
	}
	if _, err := public(keyVariable, o.key, clk, "anon"); err != nil || o.token == "" {
		return c, err
	}
	c.SignIn = page.SignInToken
	kind, err := public(tokenVariable, o.token, clk, "anon", "authenticated")
	if err == nil && kind != supabase.KindJWT {
		err = errors.New(tokenVariable + " is a key and not a token: give a token (JWT) of the role anon or authenticated")
	}
	return c, err
}

// public makes sure that something which every browser is handed stands for no more than one of some roles, and gives its kind.
func public(variable, value string, clk clock.PassiveClock, roles ...string) (kind string, err error) {
	credentials, err := supabase.NewCredentials(supabase.Source{Variable: variable, Value: value}, supabase.Source{}, clk)
	if err != nil {
		return "", err
	}
	info, err := credentials.Info()
	switch {
	case err != nil, slices.Contains(roles, info.Role):
		return info.Kind, err
	case info.Role == "":
		return "", fmt.Errorf("%s is neither a key nor a token of Supabase", variable)
	default:
		return "", fmt.Errorf("%s is for the role %s, and every browser would be given it: give one of the role %s", variable, info.Role, strings.Join(roles, " or "))
	}
}

// parse reads arguments and environment. The settings are not checked yet.
func parse(args []string) (*options, error) {
	environ.DropEmpty()
	opts := &options{key: strings.TrimSpace(os.Getenv(keyVariable)), token: strings.TrimSpace(os.Getenv(tokenVariable))}
	parser, err := kong.New(opts,
		kong.Name("console"),
		kong.Description("Serves the page of Sound Check. It takes the project's publishable key from "+keyVariable+"."),
		kong.Vars{"version": build.Version(version)})
	if err != nil {
		return nil, err
	}
	_, err = parser.Parse(args)
	return opts, err
}
