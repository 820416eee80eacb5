package supabasetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// longestURL is what Cloudflare lets through to a hosted project.
const longestURL = 16 << 10

// serve notes a request, lets faults happen to it and passes it on.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.active.Done()
	body, err := io.ReadAll(r.Body) // the server notices that a client goes away only after that
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	setBody := func() { r.Body = io.NopCloser(bytes.NewReader(body)) }
	setBody()
	watched := &statusWriter{ResponseWriter: w}
	done := s.log.begin(r, body)
	defer func() { done(watched.status) }()
	w.Header().Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	shareWithPages(w.Header())
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		preflight(watched, r)
		return
	}

	fault := s.faults.pick(r)
	setBody() // a match may have read it
	if fault != nil && s.suffer(fault, watched, r) {
		return
	}
	s.gateway(watched, r)
}

// shareWithPages lets pages of any origin read an answer, also that of a fault, as a hosted project does: what keeps others out are keys
// and policies.
func shareWithPages(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, Range-Unit")
}

// preflight answers what a browser asks before it sends a request of a page. It asks without a key.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS")
	h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	h.Set("Access-Control-Max-Age", "3600")
	h.Add("Vary", "Access-Control-Request-Headers")
	w.WriteHeader(http.StatusOK)
}

// enter counts a request that Close has to wait for.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.active.Add(1)
	return true
}

// gateway is what stands between a client and PostgREST.
func (s *Server) gateway(w http.ResponseWriter, r *http.Request) {
	if len(r.RequestURI) > longestURL {
		http.Error(w, "error code: 520", 520)
		return
	}
	api, path := s.behind(r.URL.Path)
	if api == nil {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "requested path is invalid"})
		return
	}
	query := r.URL.Query()
	key := r.Header.Get("apikey")
	if key == "" {
		key = query.Get("apikey")
	}
	authorization, refused := s.keys.admit(r.Header, key)
	if refused != nil {
		writeJSON(w, http.StatusUnauthorized, refused)
		return
	}
	inner := r.Clone(r.Context())
	inner.URL.Path, inner.URL.RawPath = path, ""
	if query.Has("apikey") {
		query.Del("apikey")
		inner.URL.RawQuery = query.Encode()
	}
	inner.Header.Del("apikey")
	inner.Header.Set("Authorization", authorization)
	api.ServeHTTP(w, inner)
}

// behind finds who answers a path, and what the path is there. Nobody does where the project lacks it.
func (s *Server) behind(path string) (api http.Handler, inner string) {
	for prefix, api := range map[string]http.Handler{restPrefix: s.api, authPrefix: s.auth} {
		rest, ok := strings.CutPrefix(path, prefix)
		if ok && (rest == "" || rest[0] == '/') {
			return api, "/" + strings.TrimPrefix(rest, "/")
		}
	}
	return nil, ""
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that went away is no error of ours
}

// statusWriter remembers what the client was told.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader is http.ResponseWriter's.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}
