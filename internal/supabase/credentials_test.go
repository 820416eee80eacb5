package supabase

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestKeysDescribeThemselves(t *testing.T) {
	jwt := func(claims string) string {
		return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	now := time.Unix(1_800_000_000, 0)
	for name, tc := range map[string]struct {
		key     string
		want    KeyInfo
		problem string
	}{
		"secret":        {"sb_secret_x", KeyInfo{Kind: KindSecret, Role: "service_role"}, ""},
		"publishable":   {"sb_publishable_x", KeyInfo{Kind: KindPublishable, Role: "anon"}, "role anon"},
		"service role":  {jwt(`{"role":"service_role","exp":1900000000}`), KeyInfo{Kind: KindJWT, Role: "service_role", Expires: time.Unix(1900000000, 0).UTC()}, ""},
		"expired":       {jwt(`{"role":"service_role","exp":1700000000}`), KeyInfo{Kind: KindJWT, Role: "service_role", Expires: time.Unix(1700000000, 0).UTC()}, "expired at 2023-11-14T22:13:20Z"},
		"anon":          {jwt(`{"role":"anon"}`), KeyInfo{Kind: KindJWT, Role: "anon"}, "role anon"},
		"unknown":       {"whatever", KeyInfo{Kind: KindUnknown}, ""},
		"three parts":   {"a.b.c", KeyInfo{Kind: KindUnknown}, ""},
		"not an object": {jwt(`7`), KeyInfo{Kind: KindUnknown}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := describe(tc.key)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if problem := got.Problem(now); (problem == "") != (tc.problem == "") || !strings.Contains(problem, tc.problem) {
				t.Errorf("problem is %q", problem)
			}
		})
	}
}

func TestSourcesThatCannotBe(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		source Source
		want   string
	}{
		"empty":       {Source{Variable: "KEY"}, "KEY is empty"},
		"line break":  {Source{Variable: "KEY", Value: "a\nb"}, "KEY holds a space, a line break"},
		"no such":     {Source{Variable: "KEY", File: empty + "x"}, "no such file"},
		"empty file":  {Source{Variable: "KEY", File: empty}, "is empty"},
		"not a key":   {Source{Variable: "KEY", Value: "schlüssel"}, "another character that no key has"},
		"a directory": {Source{Variable: "KEY", File: filepath.Dir(empty)}, "the file that KEY_FILE names cannot be read: is a directory"},
	} {
		_, err := NewCredentials(tc.source, Source{}, clock.RealClock{})
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "schlüssel") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAKeyFileIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sb_secret_one")
	clk := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	credentials, err := NewCredentials(Source{Variable: "KEY", File: file}, Source{}, clk)
	if err != nil {
		t.Fatal(err)
	}
	used := func() string {
		h := http.Header{}
		credentials.set(h)
		return h.Get("apikey")
	}
	write("sb_secret_two")
	if used() != "sb_secret_one" {
		t.Error("the file was read again at once")
	}
	clk.SetTime(clk.Now().Add(rereadEvery))
	if used() != "sb_secret_two" {
		t.Error("the file was not read again")
	}
	write("sb_secret_three")
	credentials.doubt()
	if used() != "sb_secret_three" {
		t.Error("the file was not read again after the key was refused")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	clk.SetTime(clk.Now().Add(rereadEvery))
	if used() != "sb_secret_three" {
		t.Error("the key was lost with the file")
	}
	if _, err := credentials.Info(); err == nil || !strings.Contains(err.Error(), "KEY_FILE") {
		t.Errorf("the lost file is not reported: %v", err)
	}
}
