package spreedb

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// parseBase makes the URL to which only the target is to be added. Its errors do not quote the value, which may hold a
// password by mistake.
func parseBase(raw string) (url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return url.URL{}, errors.New("POLLER_BASE_URL must be an http or https URL with a host, such as http://spreedb.example.com:4402")
	}
	switch port, err := strconv.ParseUint(u.Port(), 10, 16); {
	case u.Port() != "" && (err != nil || port == 0):
		return url.URL{}, errors.New("POLLER_BASE_URL must have a port between 1 and 65535, or none")
	case u.User != nil:
		return url.URL{}, errors.New("POLLER_BASE_URL must not hold a user name or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return url.URL{}, errors.New("POLLER_BASE_URL must end with its path: it cannot have a query or a fragment")
	}
	base := url.URL{Scheme: u.Scheme, Host: u.Host}
	base.Path = strings.TrimRight(u.Path, "/") + "/latency/" + source + "/"
	if u.RawPath != "" { // the path has escapes that Path alone would lose
		base.RawPath = strings.TrimRight(u.RawPath, "/") + "/latency/" + url.PathEscape(source) + "/"
	}
	return base, nil
}
