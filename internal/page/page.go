// Package page serves the page of Sound Check to browsers, and tells it which Supabase project to use. It knows nothing about jobs:
// the page asks Supabase itself.
package page

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// How the page gets to know who uses it.
const (
	// SignInSupabase is with Supabase Auth.
	SignInSupabase = "supabase"
	// SignInNone is not at all: everybody acts as the role anon.
	SignInNone = "none"
	// SignInToken is by a token that everybody is handed, as in the demo.
	SignInToken = "token"
)

// Config is what the page is told. All of it is for everybody who can reach the page.
type Config struct {
	// SupabaseURL is the project's, as the browser reaches it, without a path.
	SupabaseURL string `json:"supabaseUrl"`
	// PublishableKey stands for the role anon.
	PublishableKey string `json:"publishableKey"`
	// SignIn is one of the SignIn constants.
	SignIn string `json:"signIn"`
	// AccessToken is handed to everybody where SignIn is SignInToken, and otherwise empty.
	AccessToken string `json:"accessToken,omitempty"`
	// Version is that of the program.
	Version string `json:"version"`
}

const (
	index = "index.html"
	// assets is where files lie whose names change with their content.
	assets = "assets/"
	// noncePlace is what stands in index.html where each answer has a nonce of its own.
	noncePlace = "__CSP_NONCE__"
	// nonceLess is the policy for answers that are no page.
	nonceLess = "default-src 'none'; frame-ancestors 'none'"
)

// handler is the page.
type handler struct {
	index  []byte
	config []byte
	// files are the others, by path.
	files map[string]*file
	// connect are the origins to which the page may connect.
	connect string
}

// New gives a handler of the page whose files are given, with index.html at their top. It answers
//   - /config.json with the configuration,
//   - /healthz with 200,
//   - a path that is a file with that file; what lies in /assets/ may be kept for ever, because its name changes with its content,
//   - any other path without a dot in its last part with index.html: the page knows what to show there.
func New(files fs.FS, config Config) (http.Handler, error) {
	page, err := fs.ReadFile(files, index)
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	if bytes.Count(page, []byte(noncePlace)) != 1 {
		return nil, fmt.Errorf("the page has not one place for its nonce, %s", noncePlace)
	}
	connect, err := origins(config.SupabaseURL)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	others, err := load(files)
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	h := &handler{index: page, config: text, files: others, connect: connect}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", h.health)
	mux.HandleFunc("GET /config.json", h.configuration)
	mux.HandleFunc("GET /", h.page)
	return secured(mux), nil
}

// origins are the project's, for requests and for Realtime.
func origins(project string) (string, error) {
	u, err := url.Parse(project)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(u.Host, " ;,'\"") {
		return "", errors.New("the URL of the Supabase project is not one with http or https, such as https://abcdefgh.supabase.co")
	}
	return fmt.Sprintf("%s://%s %s://%s", u.Scheme, u.Host, strings.Replace(u.Scheme, "http", "ws", 1), u.Host), nil
}

// secured adds the headers that keep others from using an answer for something else.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", nonceLess)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		next.ServeHTTP(w, r)
	})
}

func (h *handler) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // whoever asked may be gone
}

func (h *handler) configuration(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(h.config)
}

func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	file, found := h.files[name]
	switch {
	case found:
		file.ServeHTTP(w, r)
	case name != index && path.Ext(name) != "", strings.HasPrefix(name+"/", assets):
		http.NotFound(w, r)
	default:
		h.root(w, r)
	}
}

// root sends index.html with a nonce that nobody can guess: libraries insert styles, which carry it.
func (h *handler) root(w http.ResponseWriter, r *http.Request) {
	nonce := rand.Text()
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-"+nonce+"'; img-src 'self' data:; font-src 'self'; "+
		"connect-src 'self' "+h.connect+"; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bytes.Replace(h.index, []byte(noncePlace), []byte(nonce), 1)))
}
