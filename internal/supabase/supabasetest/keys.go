package supabasetest

import (
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest/postgrest"
)

const (
	secretPrefix      = "sb_secret_"
	publishablePrefix = "sb_publishable_"

	roleAnon    = "anon"
	roleService = "service_role"
)

// keyring holds the keys that the gateway lets in.
type keyring struct {
	secret []byte
	now    func() time.Time

	first, publishable string

	mu sync.Mutex
	// roles are what the keys stand for.
	roles map[string]string
}

func newKeyring(opts Options) *keyring {
	k := &keyring{
		secret: []byte(opts.JWTSecret), now: opts.Now, first: opts.SecretKey, publishable: opts.PublishableKey,
		roles: map[string]string{},
	}
	if k.first == "" {
		k.first = secretPrefix + rand.Text()
	}
	if k.publishable == "" {
		k.publishable = publishablePrefix + rand.Text()
	}
	k.add(k.first, roleService)
	k.add(k.publishable, roleAnon)
	for _, role := range []string{roleAnon, roleService} {
		k.add(k.legacy(role), role)
	}
	return k
}

func (k *keyring) add(key, role string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.roles[key] = role
}

func (k *keyring) remove(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.roles, key)
}

func (k *keyring) role(key string) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	role, ok := k.roles[key]
	return role, ok
}

// legacy is a key of the old kind. It is the same each time, as a project's is.
func (k *keyring) legacy(role string) string {
	return postgrest.TokenFor(k.secret, map[string]any{
		"iss": "supabase", "ref": "supabasetest", "role": role,
		"iat": time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC).Unix(),
		"exp": time.Date(2045, time.January, 1, 0, 0, 0, 0, time.UTC).Unix(),
	})
}

// refusal is an answer of the gateway itself, which has no code.
type refusal struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// admit checks the credentials like the gateway of a hosted project and returns the Authorization to pass on:
//   - no key, or one that is not known: refused;
//   - a secret key in a browser: refused;
//   - a token beside the key: the token, except that an sb_ key is none; where it is the very key, it is PostgREST that
//     finds out;
//   - a key alone: a token of the key's role.
func (k *keyring) admit(h http.Header, key string) (string, *refusal) {
	if key == "" {
		return "", &refusal{Message: "No API key found in request"}
	}
	role, known := k.role(key)
	if !known {
		return "", &refusal{Message: "Invalid API key"}
	}
	if strings.HasPrefix(key, secretPrefix) && strings.HasPrefix(h.Get("User-Agent"), "Mozilla/") {
		return "", &refusal{Message: "Forbidden use of secret API key in browser", Hint: "Secret API keys can only be used in a protected environment and should never be used in a browser. Delete this secret API key immediately."}
	}
	given := h.Get("Authorization")
	token := strings.TrimPrefix(given, "Bearer ")
	switch {
	case given != "" && strings.HasPrefix(token, "sb_") && token != key:
		return "", &refusal{Message: "Invalid JWT"}
	case given != "":
		return given, nil
	case strings.HasPrefix(key, "sb_"):
		now := k.now()
		return "Bearer " + postgrest.TokenFor(k.secret, map[string]any{"role": role, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}), nil
	default:
		return "Bearer " + key, nil
	}
}

// SecretKey is the first sb_secret_ key, which stands for service_role.
func (s *Server) SecretKey() string { return s.keys.first }

// PublishableKey is the sb_publishable_ key, which stands for anon.
func (s *Server) PublishableKey() string { return s.keys.publishable }

// LegacyKey is the key of the old kind, a JWT, for a role. The gateway lets it in as a key from now on.
func (s *Server) LegacyKey(role string) string {
	key := s.keys.legacy(role)
	s.keys.add(key, role)
	return key
}

// AddSecretKey makes another sb_secret_ key, as for a rotation.
func (s *Server) AddSecretKey() string {
	key := secretPrefix + rand.Text()
	s.keys.add(key, roleService)
	return key
}

// RevokeKey makes a key of any kind invalid.
func (s *Server) RevokeKey(key string) { s.keys.remove(key) }

// Token signs the token of a user or of a custom role, to be sent as a bearer beside a key. The claim "role" names the
// PostgreSQL role, which authenticator has to be a member of; "exp" is in seconds.
func (s *Server) Token(claims map[string]any) string {
	return postgrest.TokenFor(s.keys.secret, claims)
}
