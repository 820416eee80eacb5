package supabase

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// rereadEvery is how often the file of a key is looked at. The kubelet takes a minute or two to renew one.
const rereadEvery = 5 * time.Second

// Source is where a secret comes from: a value, or a file that may change.
type Source struct {
	// Variable names the environment variable in errors.
	Variable string
	// Value is the secret itself; File is read instead where it is set.
	Value, File string
}

func (s Source) set() bool { return s.Value != "" || s.File != "" }

// load reads the secret. A key that cannot go into a header is an error that names the variable, not the key.
func (s Source) load() (string, error) {
	value := s.Value
	if s.File != "" {
		raw, err := os.ReadFile(s.File)
		if err != nil {
			if path, ok := errors.AsType[*fs.PathError](err); ok {
				err = path.Err // without the path, which may be a key that was put into the wrong variable
			}
			return "", fmt.Errorf("the file that %s_FILE names cannot be read: %w", s.Variable, err)
		}
		value = string(raw)
	}
	value = strings.TrimSpace(value)
	switch {
	case value == "" && s.File != "":
		return "", fmt.Errorf("the file that %s_FILE names is empty", s.Variable)
	case value == "":
		return "", fmt.Errorf("%s is empty", s.Variable)
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("%s holds a space, a line break or another character that no key has", s.Variable)
	}
	return value, nil
}

// Kinds of keys.
const (
	KindSecret      = "secret"      // sb_secret_…
	KindPublishable = "publishable" // sb_publishable_…
	KindJWT         = "jwt"         // a legacy key, or the token of a role
	KindUnknown     = "unknown"
)

// KeyInfo is what can be told about the credentials without showing them.
type KeyInfo struct {
	// Kind is one of the Kind constants: of the token where there is one, else of the key.
	Kind string
	// Role is the PostgreSQL role that requests run as; empty when it cannot be known.
	Role string
	// Expires is when the token ends; zero when it does not or when that cannot be known.
	Expires time.Time
}

// Problem says in one sentence why the credentials cannot work at now; empty when nothing speaks against them.
func (k KeyInfo) Problem(now time.Time) string {
	switch {
	case k.Role == "anon":
		return fmt.Sprintf("the Supabase key is a %s key of the role anon, which sees no jobs and may store nothing: use a secret key (sb_secret_…), a service_role key or a token of a role made for the operator", k.Kind)
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return "the Supabase key expired at " + k.Expires.UTC().Format(time.RFC3339) + ": renew it"
	default:
		return ""
	}
}

// describe decodes what a key says about itself. Nothing is verified: only Supabase can do that.
func describe(key string) KeyInfo {
	switch {
	case strings.HasPrefix(key, "sb_secret_"):
		return KeyInfo{Kind: KindSecret, Role: "service_role"}
	case strings.HasPrefix(key, "sb_publishable_"):
		return KeyInfo{Kind: KindPublishable, Role: "anon"}
	}
	parts := strings.Split(key, ".")
	if len(parts) != 3 {
		return KeyInfo{Kind: KindUnknown}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return KeyInfo{Kind: KindUnknown}
	}
	var claims struct {
		Role string  `json:"role"`
		Exp  float64 `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return KeyInfo{Kind: KindUnknown}
	}
	info := KeyInfo{Kind: KindJWT, Role: claims.Role}
	if claims.Exp > 0 {
		info.Expires = time.Unix(int64(claims.Exp), 0).UTC()
	}
	return info
}

// Credentials are the key and the token that requests carry. They are safe for concurrent use.
type Credentials struct {
	key, token Source
	clock      clock.PassiveClock

	mu       sync.Mutex
	loaded   time.Time
	keyValue string
	tokValue string
	info     KeyInfo
	problem  error
}

// NewCredentials loads the key, and the token of a role with fewer rights where one is given.
func NewCredentials(key, token Source, clk clock.PassiveClock) (*Credentials, error) {
	c := &Credentials{key: key, token: token, clock: clk}
	if err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// reload reads both. On an error what was loaded before stays. The caller holds mu, or nobody else knows c yet.
func (c *Credentials) reload() error {
	c.loaded = c.clock.Now()
	key, err := c.key.load()
	token := ""
	if err == nil && c.token.set() {
		token, err = c.token.load()
	}
	c.problem = err
	if err != nil {
		return err
	}
	c.keyValue, c.tokValue = key, token
	c.info = describe(key)
	if token != "" {
		c.info = describe(token)
	}
	return nil
}

// refresh reads the files again if it is time.
func (c *Credentials) refresh() {
	if (c.key.File != "" || c.token.File != "") && c.clock.Since(c.loaded) >= rereadEvery {
		_ = c.reload() // remembered in problem
	}
}

// doubt has the files read again at the next request, because the credentials were refused.
func (c *Credentials) doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded = time.Time{}
}

// Info describes the credentials in use, and gives an error when a file that was readable no longer is.
func (c *Credentials) Info() (KeyInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.info, c.problem
}

// set puts the credentials into the headers of a request:
//   - a new secret or publishable key goes into apikey only: the gateway refuses it as a bearer token;
//   - any other key goes into both;
//   - a token is the bearer, beside the key.
func (c *Credentials) set(h http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	h.Set("apikey", c.keyValue)
	switch {
	case c.tokValue != "":
		h.Set("Authorization", "Bearer "+c.tokValue)
	case strings.HasPrefix(c.keyValue, "sb_"):
		h.Del("Authorization")
	default:
		h.Set("Authorization", "Bearer "+c.keyValue)
	}
}

// ErrNoKey says that neither a key nor a file with one is given.
var ErrNoKey = errors.New("SUPABASE_SERVICE_ROLE_KEY is not set: give the key, or in SUPABASE_SERVICE_ROLE_KEY_FILE the file that holds it")
