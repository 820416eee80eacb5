package page

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// file is one of the page's, as it is sent. Compressing each answer anew would take so much memory that a few hundred browsers at once
// end the program.
type file struct {
	name, kind, tag string
	plain           []byte
	// compressed is nil where it would be no smaller.
	compressed []byte
}

// load reads all files but index.html and those whose names begin with a dot. It gives them by their paths.
func load(files fs.FS) (map[string]*file, error) {
	out := map[string]*file{}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || name == index || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		plain, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(plain)
		out[name] = &file{
			name: name, kind: cmp.Or(mime.TypeByExtension(path.Ext(name)), http.DetectContentType(plain)), tag: hex.EncodeToString(sum[:8]),
			plain: plain, compressed: compress(plain),
		}
		return nil
	})
	return out, err
}

// compress gives nil where the result is no smaller.
func compress(plain []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := w.Write(plain); err != nil || w.Close() != nil || out.Len() >= len(plain) {
		return nil
	}
	return out.Bytes()
}

// ServeHTTP sends the file, compressed to whoever takes it, or that it has not changed.
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, tag := f.plain, f.tag
	if f.compressed != nil && takesGzip(r.Header.Get("Accept-Encoding")) {
		content, tag = f.compressed, f.tag+"-gzip"
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Vary", "Accept-Encoding")
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("ETag", strconv.Quote(tag))
	cache := "no-cache"
	if strings.HasPrefix(f.name, assets) {
		cache = "public, max-age=31536000, immutable"
	}
	w.Header().Set("Cache-Control", cache)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// takesGzip reads Accept-Encoding: names with weights, of which 0 is a refusal (RFC 9110, section 12.5.3).
func takesGzip(accept string) bool {
	for coding := range strings.SplitSeq(strings.ToLower(accept), ",") {
		name, weight, weighed := strings.Cut(coding, ";")
		if strings.TrimSpace(name) == "gzip" {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
			return !weighed || err == nil && q > 0
		}
	}
	return false
}
