package postgrest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
)

const (
	anonRole  = "anon"
	clockSkew = 30 * time.Second
)

// identity is on whose behalf a request runs.
type identity struct {
	role string
	// claims is the token's payload, for the policies of the database.
	claims string
}

func (i identity) anonymous() bool { return i.role == anonRole }

// identify reads the token of a request. Without one, or with another scheme than Bearer, it is anonymous.
func identify(header http.Header, v verifier, now time.Time) (identity, *apiError) {
	scheme, token, _ := strings.Cut(header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return identity{role: anonRole, claims: `{"role":"` + anonRole + `"}`}, nil
	}
	payload, err := v.verify(strings.TrimSpace(token))
	if err != nil {
		return identity{}, err
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return identity{}, badToken("PGRST301", "JWT cryptographic operation failed")
	}
	if err := checkTimes(claims, now); err != nil {
		return identity{}, err
	}
	role, _ := claims["role"].(string)
	if role == "" {
		role = anonRole
	}
	return identity{role: role, claims: string(payload)}, nil
}

// verifier has what tokens are signed with.
type verifier struct {
	// secret is for HS256, keys are for ES256.
	secret []byte
	keys   publicKeys
}

// verify checks form and signature and returns the payload.
func (v verifier) verify(token string) ([]byte, *apiError) {
	if token == "" {
		return nil, badToken("PGRST301", "Empty JWT is sent in Authorization header")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, badToken("PGRST301", fmt.Sprintf("Expected 3 parts in JWT; got %d", len(parts)))
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			return nil, badToken("PGRST301", "JWT cryptographic operation failed")
		}
	}
	var header struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}
	if err := json.Unmarshal(decoded[0], &header); err != nil {
		return nil, badToken("PGRST301", "JWT cryptographic operation failed")
	}
	if header.Alg == "none" {
		return nil, badToken("PGRST301", "Wrong or unsupported encoding algorithm").
			withDetails("JWT is unsecured but expected 'alg' was not 'none'")
	}
	signed, good := parts[0]+"."+parts[1], false
	switch header.Alg {
	case "HS256":
		mac := hmac.New(sha256.New, v.secret)
		mac.Write([]byte(signed))
		good = hmac.Equal(mac.Sum(nil), decoded[2])
	case "ES256":
		good = v.keys.verifies(header.Kid, signed, decoded[2])
	}
	if !good {
		return nil, badToken("PGRST301", "No suitable key or wrong key type").
			withDetails("None of the keys was able to decode the JWT")
	}
	return decoded[1], nil
}

func checkTimes(claims map[string]any, now time.Time) *apiError {
	for _, check := range []struct {
		claim, message string
		refused        func(time.Time) bool
	}{
		{"exp", "JWT expired", func(t time.Time) bool { return now.After(t.Add(clockSkew)) }},
		{"nbf", "JWT not yet valid", func(t time.Time) bool { return now.Add(clockSkew).Before(t) }},
		{"iat", "JWT issued at future", func(t time.Time) bool { return now.Add(clockSkew).Before(t) }},
	} {
		value, ok := claims[check.claim]
		if !ok || value == nil {
			continue
		}
		seconds, ok := value.(float64)
		if !ok {
			return badToken("PGRST303", "The JWT '"+check.claim+"' claim must be a number")
		}
		if check.refused(time.Unix(int64(math.Floor(seconds)), 0)) {
			return badToken("PGRST303", check.message)
		}
	}
	return nil
}

func badToken(code, message string) *apiError {
	err := refuse(http.StatusUnauthorized, code, message)
	err.challenge = message
	return err
}
