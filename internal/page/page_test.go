package page_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/page"
)

var config = page.Config{SupabaseURL: "https://abc.supabase.co", PublishableKey: "sb_publishable_x", SignIn: page.SignInSupabase, Version: "v1.2.3"}

func files() fstest.MapFS {
	return fstest.MapFS{
		"index.html":        {Data: []byte(`<meta name="csp-nonce" content="__CSP_NONCE__"><p>Sound Check</p>`)},
		"icon.svg":          {Data: []byte(`<svg/>`)},
		".gitkeep":          {},
		"assets/app-1.js":   {Data: []byte(strings.Repeat("let a = 1\n", 1000))},
		"assets/app-1.css":  {Data: []byte(`a { color: red }`)},
		"assets/.hidden.js": {Data: []byte(`hidden`)},
	}
}

type answer struct {
	*http.Response
	text string
}

// serve gives what asks the page over HTTP, without taking anything compressed.
func serve(t *testing.T, config page.Config) func(method, path string, header ...string) answer {
	t.Helper()
	handler, err := page.New(files(), config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func(method, path string, header ...string) answer {
		t.Helper()
		req, err := http.NewRequestWithContext(context.Background(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{res, string(body)}
	}
}

func TestWhichPathIsWhat(t *testing.T) {
	ask := serve(t, config)
	const html, once, ever = "text/html; charset=utf-8", "no-store", "public, max-age=31536000, immutable"
	for path, want := range map[string]struct {
		status              int
		kind, cache, begins string
	}{
		"/":                    {200, html, once, "<meta"},
		"/index.html":          {200, html, once, "<meta"},
		"/new":                 {200, html, once, "<meta"},
		"/jobs/5b0c6f0e-0000":  {200, html, once, "<meta"},
		"/jobs/":               {200, html, once, "<meta"},
		"/icon.svg":            {200, "image/svg+xml", "no-cache", "<svg/>"},
		"/assets/app-1.js":     {200, "text/javascript; charset=utf-8", ever, "let a"},
		"/assets/app-1.css":    {200, "text/css; charset=utf-8", ever, "a {"},
		"/assets/app-2.js":     {404, "text/plain; charset=utf-8", "", "404"},
		"/assets":              {404, "text/plain; charset=utf-8", "", "404"},
		"/assets/":             {404, "text/plain; charset=utf-8", "", "404"},
		"/assets/.hidden.js":   {404, "text/plain; charset=utf-8", "", "404"},
		"/.gitkeep":            {404, "text/plain; charset=utf-8", "", "404"},
		"/favicon.ico":         {404, "text/plain; charset=utf-8", "", "404"},
		"/..%2f..%2fetc%2fpwd": {200, html, once, "<meta"},
		"/healthz":             {200, "text/plain; charset=utf-8", "", "ok"},
		"/config.json":         {200, "application/json", once, "{"},
	} {
		got := ask(http.MethodGet, path)
		if got.StatusCode != want.status || got.Header.Get("Content-Type") != want.kind || got.Header.Get("Cache-Control") != want.cache || !strings.HasPrefix(got.text, want.begins) {
			t.Errorf("%s: %d %s, %s: %.20q", path, got.StatusCode, got.Header.Get("Content-Type"), got.Header.Get("Cache-Control"), got.text)
		}
		head := ask(http.MethodHead, path)
		if head.StatusCode != want.status || head.text != "" || head.Header.Get("Content-Type") != want.kind {
			t.Errorf("HEAD %s: %d %s", path, head.StatusCode, head.Header.Get("Content-Type"))
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if got := ask(method, "/"); got.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, got.StatusCode)
		}
	}
}

func TestEachAnswerKeepsOthersOut(t *testing.T) {
	g := NewWithT(t)
	ask := serve(t, config)
	for _, path := range []string{"/", "/assets/app-1.js", "/config.json", "/assets/none.js", "/healthz"} {
		h := ask(http.MethodGet, path).Header
		g.Expect(h.Get("X-Content-Type-Options")).To(Equal("nosniff"), path)
		g.Expect(h.Get("Referrer-Policy")).To(Equal("no-referrer"), path)
		g.Expect(h.Get("Cross-Origin-Opener-Policy")).To(Equal("same-origin"), path)
		g.Expect(h.Get("Cross-Origin-Resource-Policy")).To(Equal("same-origin"), path)
		g.Expect(h.Get("Content-Security-Policy")).To(And(HavePrefix("default-src 'none'; "), HaveSuffix("frame-ancestors 'none'"), Not(ContainSubstring("unsafe"))), path)
	}
}

func TestThePageMayConnectToItsProjectOnlyAndRunsNothingInline(t *testing.T) {
	g := NewWithT(t)
	nonces := map[string]bool{}
	for project, connect := range map[string]string{
		"https://abc.supabase.co": "https://abc.supabase.co wss://abc.supabase.co", "http://127.0.0.1:8000": "http://127.0.0.1:8000 ws://127.0.0.1:8000",
	} {
		ask := serve(t, page.Config{SupabaseURL: project})
		for range 3 {
			got := ask(http.MethodGet, "/jobs/1")
			policy := got.Header.Get("Content-Security-Policy")
			g.Expect(policy).To(ContainSubstring("connect-src 'self' " + connect + ";"))
			g.Expect(policy).To(ContainSubstring("script-src 'self';"))
			nonce := regexp.MustCompile(`style-src 'self' 'nonce-([A-Z2-7]{26})';`).FindStringSubmatch(policy)
			g.Expect(nonce).NotTo(BeNil(), policy)
			g.Expect(got.text).To(Equal(fmt.Sprintf(`<meta name="csp-nonce" content="%s"><p>Sound Check</p>`, nonce[1])))
			nonces[nonce[1]] = true
		}
	}
	g.Expect(nonces).To(HaveLen(6), "one for each answer")
}

func TestThePageIsToldItsProject(t *testing.T) {
	g := NewWithT(t)
	g.Expect(serve(t, config)(http.MethodGet, "/config.json").text).To(MatchJSON(
		`{"supabaseUrl":"https://abc.supabase.co","publishableKey":"sb_publishable_x","signIn":"supabase","version":"v1.2.3"}`))
	withToken := config
	withToken.SignIn, withToken.AccessToken = page.SignInToken, "t.o.k"
	var got map[string]string
	g.Expect(json.Unmarshal([]byte(serve(t, withToken)(http.MethodGet, "/config.json").text), &got)).To(Succeed())
	g.Expect(got).To(HaveKeyWithValue("accessToken", "t.o.k"))
}

func TestWhatIsLargeIsCompressedForWhoeverTakesIt(t *testing.T) {
	ask := serve(t, config)
	for accept, compressed := range map[string]bool{
		"gzip": true, "br, gzip;q=0.5": true, "GZIP ; Q=1.0": true, "": false, "identity": false, "gzip;q=0": false, "gzip;q=0.000, br": false, "xgzip": false, "br": false,
	} {
		g := NewWithT(t)
		got := ask(http.MethodGet, "/assets/app-1.js", "Accept-Encoding", accept)
		g.Expect(got.Header.Get("Vary")).To(Equal("Accept-Encoding"), accept)
		g.Expect(got.Header.Get("Content-Type")).To(Equal("text/javascript; charset=utf-8"), accept)
		plain := got.text
		if compressed {
			g.Expect(got.Header.Get("Content-Encoding")).To(Equal("gzip"), accept)
			g.Expect(len(got.text)).To(BeNumerically("<", 1000))
			r, err := gzip.NewReader(strings.NewReader(got.text))
			g.Expect(err).NotTo(HaveOccurred())
			text, err := io.ReadAll(r)
			g.Expect(err).NotTo(HaveOccurred())
			plain = string(text)
		} else {
			g.Expect(got.Header.Get("Content-Encoding")).To(BeEmpty(), accept)
		}
		g.Expect(plain == string(files()["assets/app-1.js"].Data)).To(BeTrue(), accept)
	}
	g := NewWithT(t)
	g.Expect(ask(http.MethodGet, "/icon.svg", "Accept-Encoding", "gzip").Header.Get("Content-Encoding")).To(BeEmpty(), "it would be no smaller")
}

func TestWhatABrowserHasIsNotSentAgain(t *testing.T) {
	g := NewWithT(t)
	ask := serve(t, config)
	tags := map[string]bool{}
	for _, path := range []string{"/icon.svg", "/assets/app-1.css", "/assets/app-1.js"} {
		for _, accept := range []string{"gzip", "identity"} {
			tag := ask(http.MethodGet, path, "Accept-Encoding", accept).Header.Get("ETag")
			g.Expect(tag).To(MatchRegexp(`^"[0-9a-z-]+"$`), path)
			tags[tag] = true
			again := ask(http.MethodGet, path, "Accept-Encoding", accept, "If-None-Match", tag)
			g.Expect(again.StatusCode).To(Equal(http.StatusNotModified), path)
			g.Expect(again.text).To(BeEmpty())
		}
	}
	g.Expect(tags).To(HaveLen(4), "one for each content: only the script is compressed")
}

// slowBrowser takes nothing until it is let go.
type slowBrowser struct {
	*httptest.ResponseRecorder
	waits func()
}

func (s slowBrowser) Write(p []byte) (int, error) {
	s.waits()
	return len(p), nil
}

// 300 downloads at once had the pod killed for its memory, when each was compressed anew.
func TestManyDownloadsAtOnceTakeNoMemory(t *testing.T) {
	g := NewWithT(t)
	large, random := files(), rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	large["assets/app-1.js"] = &fstest.MapFile{Data: []byte(strings.Repeat(" ", 1<<20))}
	for i := range large["assets/app-1.js"].Data {
		large["assets/app-1.js"].Data[i] = byte('a' + random.IntN(16)) //nolint:gosec // it fits
	}
	handler, err := page.New(large, config)
	g.Expect(err).NotTo(HaveOccurred())
	const browsers = 100
	var arrived, ended sync.WaitGroup
	arrived.Add(browsers)
	leave := make(chan struct{})
	before := heap()
	for range browsers {
		ended.Go(func() {
			once := sync.OnceFunc(func() { arrived.Done(); <-leave })
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/assets/app-1.js", nil)
			req.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd") // as browsers do
			handler.ServeHTTP(slowBrowser{httptest.NewRecorder(), once}, req)
		})
	}
	arrived.Wait()
	taken := heap() - before
	close(leave)
	ended.Wait()
	g.Expect(taken).To(BeNumerically("<", browsers*100<<10), "bytes")
}

// heap is how many bytes are in use.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc) //nolint:gosec // it is not so large
}

func TestWhatCannotBeServed(t *testing.T) {
	for name, change := range map[string]func(fstest.MapFS, *page.Config){
		"no page":         func(f fstest.MapFS, _ *page.Config) { delete(f, "index.html") },
		"no nonce":        func(f fstest.MapFS, _ *page.Config) { f["index.html"] = &fstest.MapFile{Data: []byte("<p>")} },
		"no project":      func(_ fstest.MapFS, c *page.Config) { c.SupabaseURL = "" },
		"not by HTTP":     func(_ fstest.MapFS, c *page.Config) { c.SupabaseURL = "ftp://x" },
		"more than a URL": func(_ fstest.MapFS, c *page.Config) { c.SupabaseURL = "https://x; script-src *" },
	} {
		f, c := files(), config
		change(f, &c)
		if _, err := page.New(f, c); err == nil {
			t.Errorf("%s is served", name)
		}
	}
}
