package postgrest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// publicKeys are those of a JWK Set that verify ES256, by their ids.
type publicKeys map[string]*ecdsa.PublicKey

// parseJWKS reads a JWK Set (RFC 7517), or a list of JWKs as the Supabase CLI keeps it. Keys of other kinds than EC P-256 are an error.
func parseJWKS(raw []byte) (publicKeys, error) {
	type jwk struct{ Kty, Kid, Crv, X, Y string }
	var set struct{ Keys []jwk }
	err := json.Unmarshal(raw, &set)
	if err != nil {
		err = json.Unmarshal(raw, &set.Keys)
	}
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	keys := publicKeys{}
	for _, k := range set.Keys {
		x, errX := base64.RawURLEncoding.DecodeString(k.X)
		y, errY := base64.RawURLEncoding.DecodeString(k.Y)
		if k.Kty != "EC" || k.Crv != "P-256" || errX != nil || errY != nil {
			return nil, fmt.Errorf("the signing key %q is not an EC key on P-256: %w", k.Kid, errors.Join(errX, errY))
		}
		const uncompressed = 4 // SEC 1, section 2.3.3
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{uncompressed}, x, y))
		if err != nil {
			return nil, fmt.Errorf("the signing key %q: %w", k.Kid, err)
		}
		keys[k.Kid] = key
	}
	return keys, nil
}

// verifies tells whether the key with this id made an ES256 signature.
func (keys publicKeys) verifies(kid, signed string, signature []byte) bool {
	key := keys[kid]
	return key != nil && jwt.SigningMethodES256.Verify(signed, signature, key) == nil
}
