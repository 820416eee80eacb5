package spreedb

import (
	"strings"
	"testing"
)

func TestNewNamesWhatIsWrongWithTheURL(t *testing.T) {
	for raw, want := range map[string]string{
		"":                          "must be an http or https URL with a host",
		"phoenix:4402":              "must be an http or https URL with a host",
		"phoenix.example.com":       "must be an http or https URL with a host",
		"/latency":                  "must be an http or https URL with a host",
		"ftp://phoenix":             "must be an http or https URL with a host",
		"http://":                   "must be an http or https URL with a host",
		"http://:4402":              "must be an http or https URL with a host",
		"http:phoenix":              "must be an http or https URL with a host",
		"http://phoenix:port":       "must be an http or https URL with a host",
		"http://a b":                "must be an http or https URL with a host",
		"http://phoenix:0":          "port between 1 and 65535",
		"http://phoenix:65536":      "port between 1 and 65535",
		"http://me:secret@phoenix":  "user name or password",
		"http://phoenix?source=x":   "query or a fragment",
		"http://phoenix?":           "query or a fragment",
		"http://phoenix/#latencies": "query or a fragment",
	} {
		_, err := New(Options{BaseURL: raw})
		if err == nil || !strings.HasPrefix(err.Error(), "POLLER_BASE_URL must ") || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%q) says %v, want %s", raw, err, want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q) gives the password away", raw)
		}
	}
}

func TestNewTakesWhatIsRight(t *testing.T) {
	for want, raw := range map[string]string{
		"http://phoenix.polling.corp.cableone.net:4402/latency/Sound%20Check/": "http://phoenix.polling.corp.cableone.net:4402",
		"https://phoenix/latency/Sound%20Check/":                               " https://phoenix/ \n",
		"http://[2001:db8::1]:80/a/b/latency/Sound%20Check/":                   "HTTP://[2001:db8::1]:80/a/b//",
	} {
		c, err := New(Options{BaseURL: raw})
		if err != nil {
			t.Error(err)
		} else if got := c.base.String(); got != want {
			t.Errorf("New(%q) polls below %s, want %s", raw, got, want)
		}
	}
}

func TestProxyIsUsedOnlyIfAsked(t *testing.T) {
	for _, useProxy := range []bool{false, true} {
		c, err := New(Options{BaseURL: "http://phoenix", UseProxy: useProxy})
		if err != nil {
			t.Fatal(err)
		}
		if (c.transport.Proxy != nil) != useProxy {
			t.Errorf("UseProxy %v was not heeded", useProxy)
		}
	}
}
