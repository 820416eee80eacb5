//go:build !noembeddedpostgres

package pgtest

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// repository serves every artifact as a jar that holds testdata/distribution.txz: three programs that only fail.
func repository(t *testing.T) (url string, hits *atomic.Int64) {
	t.Helper()
	content, err := os.ReadFile("testdata/distribution.txz")
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	w := zip.NewWriter(&jar)
	f, err := w.Create("postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(jar.Bytes())
	hits = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
			return
		}
		_, _ = w.Write(jar.Bytes())
	}))
	t.Cleanup(server.Close)
	return server.URL, hits
}

func TestFetchUnpacksOnce(t *testing.T) {
	url, hits := repository(t)
	cache := t.TempDir()
	for range 2 {
		bin, err := fetch(cache, url)
		if err != nil {
			t.Fatal(err)
		}
		if err := executable(filepath.Join(bin, "initdb")); err != nil {
			t.Error(err)
		}
	}
	if hits.Load() != 2 {
		t.Errorf("%d requests, want one for the distribution and one for its checksum", hits.Load())
	}
}

func TestFetchSaysWhatIsWrong(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	if _, err := fetch(t.TempDir(), server.URL); err == nil || !strings.Contains(err.Error(), "no version found matching 17.5.0") {
		t.Errorf("got %v", err)
	}
}
