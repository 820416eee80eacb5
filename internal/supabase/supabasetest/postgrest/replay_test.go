package postgrest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// exchange is a request to a real PostgREST 14.17 and its answer.
type exchange struct {
	Name            string         `json:"name"`
	As              string         `json:"as"`
	Request         string         `json:"request"`
	Headers         map[string]any `json:"headers"`
	Body            *string        `json:"body"`
	Status          int            `json:"status"`
	ResponseHeaders http.Header    `json:"-"`
	RawHeaders      map[string]any `json:"response_headers"`
	ResponseBody    string         `json:"response_body"`
}

// omission is an exchange that we do not answer as PostgREST does, with what it changes in the database.
type omission struct{ why, effect string }

var omitted = map[string]omission{
	"019-insert-csv": {"CSV bodies", `insert into items (sku, qty) values ('g0', 1), ('g1', 2)`},
	"081-upsert-put-single": {"PUT", `update items set sku = 'a0', site = 'main', qty = 70, name = null, price = null, tags = '{}', meta = null,
		taken_at = null, created_at = '2026-01-01Z' where id = 1`},
	"051-error-unknown-embedding":     {why: "embedding"},
	"118-select-embed":                {why: "embedding"},
	"113-select-csv":                  {why: "CSV answers"},
	"115-select-count-planned":        {why: "the planner's counts"},
	"116-select-count-estimated":      {why: "the planner's counts"},
	"117-select-cast-alias-json-path": {why: "casts and JSON paths"},
	"124-select-timezone-pref":        {why: "Prefer: timezone"},
	"135-max-rows-rpc-setof":          {why: "functions"},
	"136-max-rows-rpc-setof-get":      {why: "functions"},
	"179-auth-whoami":                 {why: "functions"},
	"197-rpc-post":                    {why: "functions"},
	"198-rpc-get":                     {why: "functions"},
	"199-rpc-missing-arg":             {why: "functions"},
	"200-rpc-unknown":                 {why: "functions"},
	"201-rpc-raise-p0001":             {why: "functions"},
	"202-rpc-raise-pt402":             {why: "functions"},
	"203-rpc-void":                    {why: "functions"},
	"204-rpc-statement-timeout":       {why: "functions"},
	"205-root-openapi-head":           {why: "the description of the API"},
	"206-options-items":               {why: "OPTIONS"},
	"207-options-cors-preflight":      {why: "OPTIONS"},
}

// replay is the state that exchanges leave behind for the next.
type replay struct {
	t       *testing.T
	server  *pgtest.Server
	handler *Handler
	// locker holds a lock until it is closed.
	locker *pgx.Conn
}

const replayDatabase = "replay"

var secret = []byte("a-secret-of-at-least-thirty-two-characters")

// before is what has to happen before an exchange.
var before = map[string]func(*replay){
	"208-schema-cache-stale-new-table": func(r *replay) {
		r.exec(`alter event trigger pgrst_watch disable; create table fresh (id int primary key)`)
	},
	"209-schema-cache-reloaded-new-table": func(r *replay) {
		r.exec(`notify pgrst, 'reload schema'`)
		NewWithT(r.t).Eventually(func() bool { return r.handler.schema.Load().tables["fresh"] != nil }).Should(BeTrue())
	},
	"210-schema-cache-stale-new-column-insert": func(r *replay) { r.exec(`alter table fresh add column late int`) },
	"212-schema-cache-stale-dropped-table":     func(r *replay) { r.exec(`drop table fresh`) },
	"301-safeupdate-patch-no-filter": func(r *replay) {
		r.open(Options{DSN: r.server.URL(replayDatabase), Secret: secret, PoolTimeout: 50 * time.Millisecond, PoolSize: 1})
	},
	"305-pool-exhausted": func(r *replay) { r.handler.pool.turns <- struct{}{} },
	"306-lock-wait-anon-3s": func(r *replay) {
		<-r.handler.pool.turns
		r.exec(`alter role anon set statement_timeout = '100ms'; alter role authenticator set statement_timeout = '200ms'`)
		r.handler.pool.reset()
		r.reload()
		r.lock("item_events")
	},
	"308-backend-terminated-first-request": func(r *replay) {
		_ = r.locker.Close(r.t.Context())
		r.exec(`alter role authenticator set statement_timeout = '8s'`)
		r.handler.pool.reset()
		r.send(exchange{As: "service_role", Request: "GET /items?limit=0"}) // leaves a connection behind
		r.exec(`select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'postgrest'`)
	},
	"310-database-down-get-1": func(r *replay) {
		r.server.Kill()
		NewWithT(r.t).Eventually(func() bool {
			r.handler.pool.mu.Lock()
			defer r.handler.pool.mu.Unlock()
			return len(r.handler.pool.idle) == 0
		}).Should(BeTrue())
	},
	"314-database-back": func(r *replay) {
		if err := r.server.Restart(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		NewWithT(r.t).Eventually(r.handler.schema.Load).ShouldNot(BeNil())
	},
	"315-schema-cache-not-loaded": func(r *replay) {
		r.open(Options{DSN: "postgres://nobody@127.0.0.1:1/nothing", Secret: secret})
	},
}

func TestAnswersLikePostgREST(t *testing.T) {
	server, err := pgtest.Start(t.Context(), pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	if err := server.CreateDatabase(t.Context(), replayDatabase); err != nil {
		t.Fatal(err)
	}
	r := &replay{t: t, server: server}
	schema, err := os.ReadFile("testdata/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	r.exec(string(schema))
	r.open(Options{DSN: server.URL(replayDatabase), Secret: secret, AllowUnfiltered: true})
	defer func() { r.handler.Close() }()
	r.reload()

	seen := map[string]bool{}
	for _, e := range exchanges(t) {
		seen[e.Name] = true
		if prepare := before[e.Name]; prepare != nil {
			prepare(r)
		}
		got := r.send(e)
		if omission, ok := omitted[e.Name]; ok {
			if got.Status != http.StatusNotImplemented {
				t.Errorf("%s: %s is said to be unsupported, but the answer is %d %s", e.Name, omission.why, got.Status, got.ResponseBody)
			}
			if omission.effect != "" {
				r.exec(omission.effect)
			}
			continue
		}
		if diff := cmp.Diff(essence(e, e), essence(e, got)); diff != "" {
			t.Errorf("%s: %s\nPostgREST (-), here (+):\n%s", e.Name, e.Request, diff)
		}
	}
	for name := range omitted {
		if !seen[name] {
			t.Errorf("there is no exchange %s", name)
		}
	}
	for name := range before {
		if !seen[name] {
			t.Errorf("there is no exchange %s", name)
		}
	}
}

func exchanges(t *testing.T) []exchange {
	t.Helper()
	file, err := os.Open("testdata/exchanges.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var out []exchange
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		e.ResponseHeaders = headers(e.RawHeaders)
		out = append(out, e)
	}
	return out
}

func headers(raw map[string]any) http.Header {
	out := http.Header{}
	for name, value := range raw {
		switch v := value.(type) {
		case string:
			out.Add(name, v)
		case []any:
			for _, one := range v {
				out.Add(name, fmt.Sprint(one))
			}
		}
	}
	return out
}

func (r *replay) exec(sql string) {
	r.t.Helper()
	conn := r.connect()
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(r.t.Context(), sql); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

func (r *replay) connect() *pgx.Conn {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.server.URL(replayDatabase))
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

func (r *replay) open(opts Options) {
	r.t.Helper()
	if r.handler != nil {
		r.handler.Close()
	}
	var err error
	if r.handler, err = New(opts); err != nil {
		r.t.Fatal(err)
	}
	if strings.Contains(opts.DSN, replayDatabase) {
		r.reload()
	}
}

func (r *replay) reload() {
	r.t.Helper()
	if err := r.handler.Reload(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replay) lock(table string) {
	r.t.Helper()
	r.locker = r.connect()
	if _, err := r.locker.Exec(r.t.Context(), "begin; lock table "+table+" in access exclusive mode"); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replay) send(e exchange) exchange {
	r.t.Helper()
	method, target, _ := strings.Cut(e.Request, " ")
	req := httptest.NewRequestWithContext(r.t.Context(), method, target, strings.NewReader(requestBody(e)))
	req.Header = headers(e.Headers)
	if value := authorization(e); value != "" {
		req.Header.Set("Authorization", value)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return exchange{Status: w.Code, ResponseHeaders: w.Header(), ResponseBody: w.Body.String()}
}

// requestBody is the body that was sent; the recording shortens long ones, which are lists of numbered rows.
func requestBody(e exchange) string {
	if e.Body == nil {
		return ""
	}
	cut := regexp.MustCompile(`… \((\d+) bytes in all\)$`).FindStringSubmatch(*e.Body)
	if cut == nil {
		return *e.Body
	}
	var rows []string
	for length, id := 1, 10001; fmt.Sprint(length) != cut[1]; id++ {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"v":"n"}`, id))
		length += len(rows[0]) + 1
	}
	return "[" + strings.Join(rows, ",") + "]"
}

func authorization(e exchange) string {
	switch e.Name {
	case "188-auth-apikey-only-no-authorization":
		return ""
	case "189-auth-empty-bearer":
		return "Bearer "
	case "190-auth-basic-scheme":
		return "Basic dTpw"
	}
	now := time.Now().Unix()
	claims := map[string]any{"role": "service_role", "exp": now + 3600, "iat": now - 1}
	switch e.As {
	case "":
		return ""
	case "anon":
		claims["role"] = "anon"
	case "authenticated":
		claims["role"], claims["sub"] = "authenticated", "u1"
	case "service_role":
	case "expired":
		claims["exp"] = now - 3600
	case "expired_25s_ago":
		claims["exp"] = now - 25
	case "unknown_role":
		claims["role"] = "nobody_here"
	case "no_role":
		delete(claims, "role")
	case "iat_in_future":
		claims["iat"] = now + 3600
	case "nbf_in_future":
		claims["nbf"] = now + 3600
	case "exp_not_number":
		claims["exp"] = "soon"
	case "wrong_signature":
		return "Bearer " + TokenFor([]byte("another secret"), claims)
	case "alg_none":
		return "Bearer eyJhbGciOiJub25lIn0." + strings.Split(TokenFor(secret, claims), ".")[1] + "."
	case "not_a_jwt":
		return "Bearer not-a-jwt"
	case "opaque_sb_secret":
		return "Bearer sb_secret_abcdefghijkl"
	case "two_parts":
		return "Bearer a.b"
	case "bad_base64_parts":
		return "Bearer !.!.!"
	}
	return "Bearer " + TokenFor(secret, claims)
}

// anyOrder has the requests that ask for no order and whose rows come in that in which they lie in the file.
var anyOrder = map[string]bool{"137-max-rows-patch-over-representation": true, "149-patch-by-id-in": true}

var volatile = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d+\+00(:00)?`)

// essence brings an answer into the form in which it has to be the same as the recorded one of e.
func essence(e, answer exchange) map[string]string {
	out := map[string]string{"status": strconv.Itoa(answer.Status)}
	for _, name := range []string{"Content-Range", "Preference-Applied", "Location", "Proxy-Status", "WWW-Authenticate", "Retry-After", "Content-Type"} {
		out[name] = strings.Join(answer.ResponseHeaders.Values(name), " & ")
	}
	// Times first: PostgreSQL writes them as short as it can, so that what is cut by length would end elsewhere.
	body := volatile.ReplaceAllString(answer.ResponseBody, "<time>")
	recorded := volatile.ReplaceAllString(e.ResponseBody, "<time>")
	if want, _, cut := strings.Cut(recorded, "...[cut by record.py]"); cut {
		body = body[:min(len(body), len(want))]
	} else if want, note, cut := strings.Cut(recorded, "…"); cut {
		if body != recorded {
			note = fmt.Sprintf(" (%d bytes in all)", len(body))
		}
		body = body[:min(len(body), len(want))] + note
	}
	if e.Name == "310-database-down-get-1" { // libpq's words
		body = regexp.MustCompile(`"details":".*?[^\\]"`).ReplaceAllString(body, `"details":"…"`)
	}
	if anyOrder[e.Name] {
		rows := strings.Split(strings.Trim(body, "[]"), ", \n ")
		slices.Sort(rows)
		body = strings.Join(rows, "\n")
		if len(rows) > 10 {
			body = "many rows"
		}
	}
	out["body"] = body
	return out
}
