package supabasetest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest/postgrest"
)

// whoami is a view that tells the role of a request.
const whoami = `
	do $$ begin
		if not exists (select from pg_roles where rolname = 'supabasetest_custom') then create role supabasetest_custom; end if;
		grant supabasetest_custom to authenticator;
	end $$;
	grant usage on schema public to supabasetest_custom;
	create view me as select current_user::text as role, current_setting('request.jwt.claims', true)::json ->> 'sub' as sub;
	grant select on me to public`

type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request and expects an answer; headers are pairs.
func ask(t *testing.T, s *Server, method, path, body string, headers ...string) answer {
	t.Helper()
	out, err := try(t.Context(), s, method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return out
}

func try(ctx context.Context, s *Server, method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(text)}, err
}

func exec(t *testing.T, s *Server, sql string) {
	t.Helper()
	if err := s.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, s *Server, sql string) string {
	t.Helper()
	out, err := s.Text(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestKeys(t *testing.T) {
	s := New(t, WithSQL(whoami), WithoutMigrations())
	secret, publishable := s.SecretKey(), s.PublishableKey()
	custom := s.Token(map[string]any{"role": "supabasetest_custom", "sub": "poller"})
	expired := s.Token(map[string]any{"role": "supabasetest_custom", "exp": time.Now().Add(-time.Hour).Unix()})
	another := s.AddSecretKey()
	revoked := s.AddSecretKey()
	s.RevokeKey(revoked)
	for name, tc := range map[string]struct {
		headers []string
		path    string
		status  int
		want    string
	}{
		"secret":                        {headers: []string{"apikey", secret}, status: 200, want: `[{"role":"service_role","sub":null}]`},
		"another secret":                {headers: []string{"apikey", another}, status: 200, want: `[{"role":"service_role","sub":null}]`},
		"revoked secret":                {headers: []string{"apikey", revoked}, status: 401, want: `{"message":"Invalid API key"}`},
		"publishable":                   {headers: []string{"apikey", publishable}, status: 200, want: `[{"role":"anon","sub":null}]`},
		"in the query":                  {path: "?select=role&apikey=" + publishable, status: 200, want: `[{"role":"anon"}]`},
		"legacy alone":                  {headers: []string{"apikey", s.LegacyKey("service_role")}, status: 200, want: `[{"role":"service_role","sub":null}]`},
		"legacy twice":                  {headers: []string{"apikey", s.LegacyKey("anon"), "Authorization", "Bearer " + s.LegacyKey("service_role")}, status: 200, want: `[{"role":"service_role","sub":null}]`},
		"none":                          {status: 401, want: `{"message":"No API key found in request"}`},
		"bearer only":                   {headers: []string{"Authorization", "Bearer " + custom}, status: 401, want: `{"message":"No API key found in request"}`},
		"unknown":                       {headers: []string{"apikey", "sb_secret_nothing"}, status: 401, want: `{"message":"Invalid API key"}`},
		"custom token as key":           {headers: []string{"apikey", custom}, status: 401, want: `{"message":"Invalid API key"}`},
		"secret as its own bearer":      {headers: []string{"apikey", secret, "Authorization", "Bearer " + secret}, status: 401, want: `"PGRST301"`},
		"secret as bearer":              {headers: []string{"apikey", publishable, "Authorization", "Bearer " + secret}, status: 401, want: `{"message":"Invalid JWT"}`},
		"custom role":                   {headers: []string{"apikey", publishable, "Authorization", "Bearer " + custom}, status: 200, want: `[{"role":"supabasetest_custom","sub":"poller"}]`},
		"custom role beside secret":     {headers: []string{"apikey", secret, "Authorization", "Bearer " + custom}, status: 200, want: `[{"role":"supabasetest_custom","sub":"poller"}]`},
		"expired token":                 {headers: []string{"apikey", publishable, "Authorization", "Bearer " + expired}, status: 401, want: `"PGRST303"`},
		"secret in a browser":           {headers: []string{"apikey", secret, "User-Agent", "Mozilla/5.0 (X11)"}, status: 401, want: `"message":"Forbidden use of secret API key in browser"`},
		"publishable in a browser":      {headers: []string{"apikey", publishable, "User-Agent", "Mozilla/5.0 (X11)"}, status: 200, want: `"anon"`},
		"a path that is none of ours":   {path: "/auth/v1/user", headers: []string{"apikey", secret}, status: 404, want: `{"error":"requested path is invalid"}`},
		"a URL too long for Cloudflare": {path: "?role=eq." + strings.Repeat("a", 16<<10), headers: []string{"apikey", secret}, status: 520, want: "error code: 520"},
	} {
		t.Run(name, func(t *testing.T) {
			path := tc.path
			if !strings.HasPrefix(path, "/") {
				path = "/rest/v1/me" + path
			}
			got := ask(t, s, "GET", path, "", tc.headers...)
			if got.status != tc.status || !strings.Contains(got.body, tc.want) {
				t.Errorf("got %d %s, want %d %s", got.status, got.body, tc.status, tc.want)
			}
			if _, err := http.ParseTime(got.header.Get("Date")); err != nil {
				t.Errorf("Date: %v", err)
			}
		})
	}
}

func TestKeysGivenAndClock(t *testing.T) {
	now := time.Date(2040, time.May, 1, 12, 0, 0, 0, time.UTC)
	s := New(t, WithSQL(whoami), WithoutMigrations(), WithOptions(func(o *Options) {
		o.SecretKey, o.PublishableKey, o.JWTSecret = "sb_secret_given", "sb_publishable_given", "given"
		o.Now = func() time.Time { return now }
	}))
	token := postgrest.TokenFor([]byte("given"), map[string]any{"role": "service_role", "exp": now.Add(time.Second).Unix()})
	for _, headers := range [][]string{
		{"apikey", "sb_secret_given"},
		{"apikey", "sb_publishable_given", "Authorization", "Bearer " + token},
	} {
		got := ask(t, s, "GET", "/rest/v1/me?select=role", "", headers...)
		if got.status != 200 || got.body != `[{"role":"service_role"}]` || got.header.Get("Date") != "Tue, 01 May 2040 12:00:00 GMT" {
			t.Errorf("%v: %+v", headers, got)
		}
	}
}

const rows = `create table numbers (id int primary key); grant all on numbers to service_role`

func TestFaults(t *testing.T) {
	s := New(t, WithSQL(rows), WithoutMigrations())
	key := []string{"apikey", s.SecretKey()}
	for name, tc := range map[string]struct {
		fault  Fault
		status int // 0: no answer
		want   string
		stored string
	}{
		"a page of HTML":         {Fault{Status: 520, ContentType: "text/html", Body: "<html>oops</html>"}, 520, "<html>oops</html>", "0"},
		"an empty 401":           {Fault{Status: 401}, 401, "", "0"},
		"null":                   {Fault{Status: 200, ContentType: "application/json", Body: "null"}, 200, "null", "0"},
		"a reset":                {Fault{Reset: true}, 0, "", "0"},
		"an answer lost":         {Fault{AfterCommit: true}, 0, "", "1"},
		"an answer replaced":     {Fault{AfterCommit: true, Status: 502, Body: "bad gateway"}, 502, "bad gateway", "1"},
		"a delay":                {Fault{Delay: time.Millisecond}, 201, "", "1"},
		"a delay before a reset": {Fault{Delay: time.Millisecond, Reset: true}, 0, "", "0"},
		"another method":         {Fault{Match: func(r *http.Request) bool { return r.Method == "GET" }, Reset: true}, 201, "", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			exec(t, s, `truncate numbers`)
			tc.fault.Header = http.Header{"Retry-After": {"7"}}
			s.ResetRequests()
			injection := s.Inject(tc.fault)
			defer injection.Remove()
			got, err := try(t.Context(), s, "POST", "/rest/v1/numbers?columns=id", `{"id":1}`, key...)
			if (err != nil) != (tc.status == 0) || got.status != tc.status || got.body != tc.want {
				t.Errorf("got %d %q, %v", got.status, got.body, err)
			}
			if tc.fault.Status != 0 && got.header.Get("Retry-After") != "7" {
				t.Errorf("headers %v", got.header)
			}
			if stored := text(t, s, `select count(*)::text from numbers`); stored != tc.stored {
				t.Errorf("%s rows, want %s", stored, tc.stored)
			}
			if tc.fault.Match == nil && injection.Count() != 1 {
				t.Errorf("it happened %d times", injection.Count())
			}
			NewWithT(t).Eventually(s.Requests).Should(HaveLen(1))
			r := s.Requests()[0]
			if r.Method != "POST" || r.Path != "/rest/v1/numbers" || r.Query.Get("columns") != "id" || r.Body != `{"id":1}` || r.Status != tc.status || r.Header.Get("Apikey") != s.SecretKey() {
				t.Errorf("noted %+v", r)
			}
		})
	}
}

func TestFaultsEnd(t *testing.T) {
	s := New(t, WithSQL(rows), WithoutMigrations())
	get := func() int { return ask(t, s, "GET", "/rest/v1/numbers", "", "apikey", s.SecretKey()).status }
	twice := s.Inject(Fault{Status: 503, Times: 2})
	always := s.Inject(Fault{Status: 402})
	got := []int{get(), get(), get()}
	always.Remove()
	got = append(got, get())
	NewWithT(t).Expect(got).To(Equal([]int{503, 503, 402, 200}))
	NewWithT(t).Expect([]int{twice.Count(), always.Count()}).To(Equal([]int{2, 1}))
}

func TestAHangingRequestEndsWithItsClientOrTheServer(t *testing.T) {
	s := New(t, WithSQL(rows), WithoutMigrations())
	hang := s.Inject(Fault{Hang: true})
	g := NewWithT(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	send := func(ctx context.Context) {
		_, err := try(ctx, s, "POST", "/rest/v1/numbers", `{"id":1}`, "apikey", s.SecretKey())
		ended <- err
	}
	go send(ctx)
	g.Eventually(hang.Count).Should(Equal(1))
	cancel()
	var err error
	g.Eventually(ended).Should(Receive(&err))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the client that gave up got %v", err)
	}
	go send(t.Context())
	g.Eventually(hang.Count).Should(Equal(2))
	s.Close()
	g.Eventually(ended).Should(Receive(HaveOccurred()))
}

func TestCloseEndsAWaitForALock(t *testing.T) {
	s := New(t, WithSQL(rows), WithoutMigrations())
	ended := make(chan error, 1)
	locked := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_ = s.Exec(ctx, `begin; lock table numbers in access exclusive mode; select pg_sleep(60)`)
	}()
	go func() {
		<-locked
		_, err := try(t.Context(), s, "GET", "/rest/v1/numbers", "", "apikey", s.SecretKey())
		ended <- err
	}()
	g := NewWithT(t)
	waiting := func(state string) func() string {
		return func() string {
			return text(t, s, `select count(*)::text from pg_locks where relation = 'numbers'::regclass and granted = `+state)
		}
	}
	g.Eventually(waiting("true")).Should(Equal("1"))
	close(locked)
	g.Eventually(waiting("false")).Should(Equal("1"))
	s.Close()
	g.Eventually(ended).Should(Receive(HaveOccurred()))
}

func TestReadsAreCutSilently(t *testing.T) {
	for name, tc := range map[string]struct {
		max, want int
	}{"as hosted": {0, 1000}, "as configured": {7, 7}} {
		t.Run(name, func(t *testing.T) {
			s := New(t, WithSQL(rows+`; insert into numbers select generate_series(1, 1001)`), WithoutMigrations(),
				WithOptions(func(o *Options) { o.MaxRows = tc.max }))
			got := ask(t, s, "GET", "/rest/v1/numbers?limit=1001", "", "apikey", s.SecretKey())
			var list []any
			if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != 200 || len(list) != tc.want {
				t.Errorf("%d: %d rows, want %d, %v", got.status, len(list), tc.want, err)
			}
		})
	}
}

func TestMigrationsBecomeVisible(t *testing.T) {
	s := New(t, WithoutMigrations())
	get := func() int {
		return ask(t, s, "GET", "/rest/v1/jobs?select=id,monitor_state", "", "apikey", s.SecretKey()).status
	}
	if got := get(); got != 404 {
		t.Errorf("without tables: %d", got)
	}
	if err := Migrate(t.Context(), s.DSN()); err != nil {
		t.Fatal(err)
	}
	NewWithT(t).Eventually(get).Should(Equal(200)) // through NOTIFY

	exec(t, s, `create table later (id int primary key); grant all on later to service_role`)
	later := func() int {
		return ask(t, s, "POST", "/rest/v1/later", `{"id":1}`, "apikey", s.SecretKey()).status
	}
	if got := later(); got != 404 {
		t.Errorf("a table that nothing told of: %d", got)
	}
	if err := s.ReloadSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := later(); got != 201 {
		t.Errorf("after a reload: %d", got)
	}
}

func TestItOutlivesTheDatabase(t *testing.T) {
	db, err := pgtest.Start(t.Context(), pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Stop()
	if err := CreateRoles(t.Context(), db.URL("postgres")); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), db.URL("postgres")); err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), Options{DSN: db.URL("postgres")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	get := func() answer { return ask(t, s, "GET", "/rest/v1/jobs?select=id", "", "apikey", s.SecretKey()) }
	if got := get(); got.status != 200 {
		t.Fatalf("before: %+v", got)
	}
	g := NewWithT(t)
	for range 2 {
		db.Kill()
		g.Eventually(func() string { return get().body }).Should(ContainSubstring("PGRST002"))
		if got := get(); got.status != 503 || got.header.Get("Retry-After") != "0" {
			t.Errorf("while it is away: %+v", got)
		}
		if err := db.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.Eventually(func() int { return get().status }).WithTimeout(5 * time.Second).Should(Equal(200))
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	s := New(t, WithoutMigrations())
	for name, tc := range map[string]struct {
		opts Options
		want string
	}{
		"nothing to stand before": {Options{}, "neither a database nor a PostgREST"},
		"no database there":       {Options{DSN: "postgres://nobody@127.0.0.1:1/none"}, "connection refused"},
		"a taken address":         {Options{DSN: s.DSN(), Listen: strings.TrimPrefix(s.URL(), "http://")}, "address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			started, err := Start(t.Context(), tc.opts)
			if err == nil {
				started.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
		})
	}
}

func TestBeforeARealPostgREST(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.String()+" "+r.Header.Get("Authorization")+r.Header.Get("apikey"))
	}))
	defer upstream.Close()
	s, err := Start(t.Context(), Options{Upstream: upstream.URL, JWTSecret: "shared"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	legacy := s.LegacyKey("anon")
	if got := ask(t, s, "GET", "/rest/v1/jobs?id=eq.1", "", "apikey", legacy); got.body != "/jobs?id=eq.1 Bearer "+legacy {
		t.Errorf("got %+v", got)
	}
}

func TestTheLogKeepsTheLatest(t *testing.T) {
	l := requestLog{keep: 3}
	for _, path := range []string{"/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8"} {
		l.begin(httptest.NewRequestWithContext(t.Context(), "GET", path, nil), nil)(200)
	}
	s := &Server{log: requestLog{keep: l.keep, list: l.list}}
	var paths []string
	for _, r := range s.Requests() {
		paths = append(paths, r.Path)
	}
	NewWithT(t).Expect(paths).To(Equal([]string{"/6", "/7", "/8"}))
}
