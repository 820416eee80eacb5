package supabasetest

import (
	"net/http"
	"strings"
	"testing"
)

func TestAPageMayAskFromItsOrigin(t *testing.T) {
	s := New(t)
	for name, tc := range map[string]struct {
		method, key string
		status      int
	}{
		"before it asks": {http.MethodOptions, "", 200},
		"what it asks":   {http.MethodGet, s.PublishableKey(), 200},
		"a wrong key":    {http.MethodGet, "sb_publishable_wrong", 401},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, s.URL()+"/rest/v1/jobs?select=id", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", "https://sound-check.example.com")
		if tc.method == http.MethodOptions {
			req.Header.Set("Access-Control-Request-Method", "GET")
			req.Header.Set("Access-Control-Request-Headers", "apikey,authorization,prefer,x-client-info")
		}
		if tc.key != "" {
			req.Header.Set("apikey", tc.key)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		h := res.Header
		if res.StatusCode != tc.status || h.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Content-Range") {
			t.Errorf("%s: %d %v", name, res.StatusCode, h)
		}
		if tc.method == http.MethodOptions && h.Get("Access-Control-Allow-Headers") != "apikey,authorization,prefer,x-client-info" {
			t.Errorf("%s: %v", name, h)
		}
	}
}
