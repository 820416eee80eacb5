package postgrest

import (
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// TokenFor signs claims, of which "role" names the role that requests run as.
func TokenFor(secret []byte, claims map[string]any) string {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(claims)).SignedString(secret)
	if err != nil {
		panic(fmt.Errorf("sign a token: %w", err)) // only claims that are no JSON do that
	}
	return token
}
