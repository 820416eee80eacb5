package supabasetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest/auth"
)

// accounts are those of people, with their names as passwords.
var accounts = []auth.User{
	{ID: ann, Email: "Ann@example.com", Password: "ann"},
	{ID: bob, Email: "bob@example.com", Password: "bob", UserMetadata: map[string]any{"sound_check": "supervisor"}},
	{ID: "c0000000-0000-4000-8000-000000000003", Email: "sue@example.com", Password: "sue", AppMetadata: map[string]any{"sound_check": "supervisor"}},
}

// signedIn is what a page gets to know of a sign-in.
type signedIn struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
	ExpiresAt    int64  `json:"expires_at"`
	User         struct {
		ID, Email   string
		AppMetadata map[string]any `json:"app_metadata"`
	}
}

// project is one with accounts, as a page meets it.
type project struct {
	*Server
	t *testing.T
	// passed is how much later it is than it was, in nanoseconds.
	passed atomic.Int64
}

func withAccounts(t *testing.T, opts ...Option) *project {
	t.Helper()
	p := &project{t: t}
	p.Server = New(t, append(opts, WithOptions(func(o *Options) {
		o.Users = accounts
		o.Now = func() time.Time { return time.Now().Add(time.Duration(p.passed.Load())) }
	}))...)
	return p
}

// auth asks Supabase Auth as supabase-js does. A token is sent where there is one.
func (p *project) auth(method, path, body, token string) answer {
	p.t.Helper()
	headers := []string{"apikey", p.PublishableKey(), "Content-Type", "application/json", "X-Supabase-Api-Version", "2024-01-01"}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	return ask(p.t, p.Server, method, "/auth/v1"+path, body, headers...)
}

func (p *project) signedIn(a answer) signedIn {
	p.t.Helper()
	var s signedIn
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || a.status != http.StatusOK {
		p.t.Fatalf("%d %s", a.status, a.body)
	}
	return s
}

func (p *project) signIn(email, password string) signedIn {
	p.t.Helper()
	return p.signedIn(p.auth("POST", "/token?grant_type=password", fmt.Sprintf(`{"email":%q,"password":%q,"gotrue_meta_security":{}}`, email, password), ""))
}

func (p *project) refresh(token string) answer {
	p.t.Helper()
	return p.auth("POST", "/token?grant_type=refresh_token", fmt.Sprintf(`{"refresh_token":%q}`, token), "")
}

// rest asks the database with a user's token.
func (p *project) rest(method, path, body, token string) answer {
	p.t.Helper()
	return ask(p.t, p.Server, method, "/rest/v1"+path, body, "apikey", p.PublishableKey(), "Authorization", "Bearer "+token, "Prefer", "return=representation")
}

func (p *project) expect(what string, got answer, status int, want string) {
	p.t.Helper()
	if got.status != status || !strings.Contains(got.body, want) {
		p.t.Errorf("%s: got %d %s, want %d %s", what, got.status, got.body, status, want)
	}
}

func TestWhoSignedInIsKnownToTheDatabase(t *testing.T) {
	p := withAccounts(t, WithOptionalMigrations())
	exec(t, p.Server, pageJobs)
	cancel := func(job string, s signedIn) answer {
		return p.rest("PATCH", "/jobs?select=status&id=eq."+job, `{"status":"cancelled"}`, s.AccessToken)
	}
	a, b, sue := p.signIn("ann@EXAMPLE.com", "ann"), p.signIn("bob@example.com", "bob"), p.signIn("sue@example.com", "sue")
	if a.User.ID != ann || a.User.Email != "ann@example.com" || a.ExpiresIn != 3600 || time.Until(time.Unix(a.ExpiresAt, 0)) > time.Hour {
		t.Errorf("%+v", a)
	}
	p.expect("start a job", p.rest("POST", "/jobs?select=requester_id", `{"account_number":"N-1"}`, a.AccessToken), 201, ann)
	p.expect("cancel a job of somebody else", cancel(annsReal, b), 200, `[]`)
	p.expect("cancel it as a supervisor", cancel(annsReal, sue), 200, `cancelled`)
	p.expect("tell who it is", p.auth("GET", "/user", "", sue.AccessToken), 200, `"sound_check":"supervisor"`)
	p.expect("read without signing in", p.rest("GET", "/jobs", "", p.LegacyKey("anon")), 401, `"42501"`)
}

func TestASessionGoesOnUntilItEnds(t *testing.T) {
	p := withAccounts(t)
	first := p.signIn("ann@example.com", "ann")
	p.passed.Add(int64(2 * time.Hour))
	p.expect("an old token in the database", p.rest("GET", "/jobs", "", first.AccessToken), 401, `"PGRST303"`)
	p.expect("an old token", p.auth("GET", "/user", "", first.AccessToken), 403, `token is expired`)

	second := p.signedIn(p.refresh(first.RefreshToken))
	p.expect("a new token in the database", p.rest("GET", "/jobs", "", second.AccessToken), 200, `[]`)
	if again := p.signedIn(p.refresh(first.RefreshToken)); again.RefreshToken != second.RefreshToken {
		t.Error("an answer that was lost cannot be had again")
	}
	third := p.signedIn(p.refresh(second.RefreshToken))
	p.expect("a stolen one", p.refresh(first.RefreshToken), 400, `"refresh_token_already_used"`)
	p.expect("the newest after that", p.refresh(third.RefreshToken), 400, `"refresh_token_already_used"`)
	p.expect("one that never was", p.refresh("x"), 400, `"refresh_token_not_found"`)
}

func TestSigningOutEndsSessions(t *testing.T) {
	for scope, lasts := range map[string][3]bool{ // this one, another of the same user, one of another user
		"?scope=local": {false, true, true}, "?scope=others": {true, false, true}, "?scope=global": {false, false, true}, "": {false, false, true},
	} {
		p := withAccounts(t, WithoutMigrations())
		sessions := []signedIn{p.signIn("ann@example.com", "ann"), p.signIn("ann@example.com", "ann"), p.signIn("bob@example.com", "bob")}
		p.expect(scope, p.auth("POST", "/logout"+scope, "", sessions[0].AccessToken), 204, "")
		for i, s := range sessions {
			if lasts[i] {
				p.expect(scope, p.auth("GET", "/user", "", s.AccessToken), 200, s.User.ID)
				p.signedIn(p.refresh(s.RefreshToken))
				continue
			}
			p.expect(scope, p.auth("GET", "/user", "", s.AccessToken), 403, `"session_not_found"`)
			p.expect(scope, p.refresh(s.RefreshToken), 400, `"refresh_token_not_found"`)
		}
	}
}

func TestWhatSupabaseAuthRefuses(t *testing.T) {
	p := withAccounts(t, WithoutMigrations())
	for name, tc := range map[string]struct {
		method, path, body, token string
		status                    int
		want                      string
	}{
		"a wrong password":      {"POST", "/token?grant_type=password", `{"email":"ann@example.com","password":"bob"}`, "", 400, `{"code":"invalid_credentials","message":"Invalid login credentials"}`},
		"an unknown address":    {"POST", "/token?grant_type=password", `{"email":"eve@example.com","password":"ann"}`, "", 400, `{"code":"invalid_credentials","message":"Invalid login credentials"}`},
		"no address":            {"POST", "/token?grant_type=password", `{"password":"ann"}`, "", 400, `"validation_failed"`},
		"no JSON":               {"POST", "/token?grant_type=password", `email=ann`, "", 400, `"bad_json"`},
		"an unknown grant":      {"POST", "/token?grant_type=wish", `{}`, "", 400, `"unsupported_grant_type"`},
		"no refresh token":      {"POST", "/token?grant_type=refresh_token", `{}`, "", 400, `{"error":"invalid_request","error_description":"refresh_token required"}`},
		"a key for a token":     {"GET", "/user", "", p.LegacyKey("anon"), 403, `missing sub claim`},
		"nobody's token":        {"GET", "/user", "", p.Token(map[string]any{"role": "authenticated", "sub": noOnes}), 403, `"user_not_found"`},
		"a token of no session": {"GET", "/user", "", p.Token(map[string]any{"role": "authenticated", "sub": ann}), 403, `"session_not_found"`},
		"no token":              {"GET", "/user", "", "a.b.c", 403, `"bad_jwt"`},
		"signing out of what":   {"POST", "/logout?scope=all", "", p.signIn("ann@example.com", "ann").AccessToken, 400, `Unsupported logout scope`},
		"what is not here":      {"POST", "/signup", `{}`, "", 501, `"UNSUPPORTED"`},
		"another way to sign":   {"POST", "/token?grant_type=pkce", `{}`, "", 501, `"UNSUPPORTED"`},
		"a telephone":           {"POST", "/token?grant_type=password", `{"phone":"1","password":"ann"}`, "", 501, `"UNSUPPORTED"`},
	} {
		got := p.auth(tc.method, tc.path, tc.body, tc.token)
		p.expect(name, got, tc.status, tc.want)
		// A browser shows a page only the headers that are exposed, and supabase-js reads an error by its version.
		if !strings.Contains(got.header.Get("Access-Control-Expose-Headers"), "X-Supabase-Api-Version") || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v", name, got.header)
		}
	}
	p.expect("a client of before 2024", ask(t, p.Server, "POST", "/auth/v1/token?grant_type=password", `{"email":"x","password":"x"}`, "apikey", p.PublishableKey()),
		400, `{"code":400,"error_code":"invalid_credentials","msg":"Invalid login credentials"}`)
	p.expect("a wrong key", ask(t, p.Server, "GET", "/auth/v1/user", "", "apikey", "sb_publishable_wrong"), 401, `Invalid API key`)
	p.expect("a project without accounts", ask(t, New(t, WithoutMigrations()), "GET", "/auth/v1/user", "", "apikey", "x"), 404, `requested path is invalid`)
}

func TestAccountsThatCannotBe(t *testing.T) {
	server, name := pgtest.Database(t)
	for says, users := range map[string][]auth.User{
		"needs a UUID as ID": {{ID: "ann", Email: "a@example.com", Password: "x"}},
		"address of its own": {{ID: ann, Email: "a@example.com", Password: "x"}, {ID: bob, Email: "A@example.com", Password: "x"}},
		"and a password":     {{ID: ann, Email: "a@example.com"}},
	} {
		if _, err := Start(t.Context(), Options{DSN: server.URL(name), Users: users}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}
