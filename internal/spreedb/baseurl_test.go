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
		base, err := parseBase(raw)
		if err != nil {
			t.Error(err)
		} else if got := base.String(); got != want {
			t.Errorf("New(%q) polls below %s, want %s", raw, got, want)
		}
	}
}

func TestNewChoosesTheTransport(t *testing.T) {
	for name, tc := range map[string]struct {
		opts          Options
		direct, proxy bool
	}{
		"plain HTTP":                  {Options{BaseURL: "http://phoenix.example.com:4402/api"}, true, false},
		"an address":                  {Options{BaseURL: "http://10.0.0.1"}, true, false},
		"an address of IPv6":          {Options{BaseURL: "HTTP://[2001:db8::1]:4402"}, true, false},
		"TLS":                         {Options{BaseURL: "https://phoenix"}, false, false},
		"a proxy":                     {Options{BaseURL: "http://phoenix", UseProxy: true}, false, true},
		"a zone":                      {Options{BaseURL: "http://[fe80::1%25eth0]"}, false, false},
		"other letters":               {Options{BaseURL: "http://phönix"}, false, false},
		"other letters, escaped":      {Options{BaseURL: "http://ph%C3%B6nix"}, false, false},
		"a name that breaks the line": {Options{BaseURL: "http://phoenix", UserAgent: "a\r\nb: c"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			library, other := c.transport.(*library)
			if other == tc.direct || (other && (library.http.Proxy != nil) != tc.proxy) {
				t.Errorf("chose %T", c.transport)
			}
		})
	}
}
