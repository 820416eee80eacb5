// Package auth answers like Supabase Auth (v2) for as much of it as a page needs whose users have a password: signing in and out, renewing
// a token, and telling who somebody is. What it does not know it answers with 501, never with a guess. Accounts are given, sessions are
// kept in memory. Unlike the real one it has no limits of rate, and accepts no refresh token again just because it was used within the
// last ten seconds.
package auth

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest/postgrest"
)

// lifetime of an access token is what new projects have.
const lifetime = time.Hour

// role of everybody who signed in, also the audience of their tokens.
const role = "authenticated"

// User is an account. AppMetadata is what only the project's owner can set, UserMetadata what users set themselves; tokens carry both.
type User struct {
	// ID is a UUID, which tokens have as sub.
	ID              string
	Email, Password string
	AppMetadata     map[string]any
	UserMetadata    map[string]any
}

// Options of a Handler.
type Options struct {
	Users []User
	// Secret signs tokens with HS256.
	Secret []byte
	// Now is the clock of tokens.
	Now func() time.Time
}

// Handler serves what is below /auth/v1.
type Handler struct {
	opts     Options
	users    map[string]User // by address
	sessions *sessions
	began    time.Time
	mux      http.ServeMux
}

// New returns an error where a user cannot be one.
func New(opts Options) (*Handler, error) {
	h := &Handler{opts: opts, users: map[string]User{}, sessions: newSessions(), began: opts.Now()}
	for _, u := range opts.Users {
		u.Email = strings.ToLower(u.Email)
		if err := uuid.Validate(u.ID); err != nil {
			return nil, fmt.Errorf("the user %q needs a UUID as ID: %w", u.Email, err)
		}
		if _, taken := h.users[u.Email]; taken || u.Email == "" || u.Password == "" {
			return nil, fmt.Errorf("the user %s needs an address of its own and a password", u.ID)
		}
		app := map[string]any{"provider": "email", "providers": []string{"email"}}
		maps.Copy(app, u.AppMetadata)
		u.AppMetadata = app
		if u.UserMetadata == nil {
			u.UserMetadata = map[string]any{}
		}
		h.users[u.Email] = u
	}
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) *problem{
		"POST /token": h.token, "GET /user": h.user, "POST /logout": h.logout, "/": unsupported,
	} {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Expose-Headers", "X-Total-Count, Link, "+versionHeader)
			if p := serve(w, r); p != nil {
				p.write(w, r.Header.Get(versionHeader))
			}
		})
	}
	return h, nil
}

// ServeHTTP answers one request, whose path is without /auth/v1.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func unsupported(_ http.ResponseWriter, r *http.Request) *problem {
	return &problem{http.StatusNotImplemented, "UNSUPPORTED", "The stand-in for Supabase Auth does not know " + r.Method + " " + r.URL.Path + "."}
}

// token signs somebody in by password, or goes on with a sign-in.
func (h *Handler) token(w http.ResponseWriter, r *http.Request) *problem {
	var params struct {
		Email        string `json:"email"`
		Phone        string `json:"phone"`
		Password     string `json:"password"`
		RefreshToken string `json:"refresh_token"`
	}
	grant := r.URL.Query().Get("grant_type")
	switch grant {
	case "password", "refresh_token":
	case "id_token", "pkce", "web3":
		return unsupported(w, r)
	default:
		return badRequest("invalid_credentials", "unsupported_grant_type")
	}
	if err := json.NewDecoder(r.Body).Decode(&params); err != nil {
		return badRequest("bad_json", "Could not parse request body as JSON: "+err.Error())
	}
	var s session
	var refused *problem
	switch {
	case grant == "password" && params.Phone != "":
		return unsupported(w, r)
	case grant == "password" && params.Email == "":
		return badRequest("validation_failed", "missing email or phone")
	case grant == "password":
		user, known := h.users[strings.ToLower(params.Email)]
		if !known || user.Password != params.Password {
			return badRequest("invalid_credentials", "Invalid login credentials")
		}
		s = h.sessions.begin(user, h.opts.Now())
	case params.RefreshToken == "":
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request", "error_description": "refresh_token required"}) // in any version
		return nil
	default:
		if s, refused = h.sessions.refresh(params.RefreshToken); refused != nil {
			return refused
		}
	}
	h.grant(w, r, s)
	return nil
}

// grant hands out the tokens of a session.
func (h *Handler) grant(w http.ResponseWriter, r *http.Request, s session) {
	now := h.opts.Now()
	expires := now.Add(lifetime).Unix()
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": postgrest.TokenFor(h.opts.Secret, map[string]any{
			"iss": "http://" + r.Host + "/auth/v1", "aud": role, "role": role, "sub": s.user.ID, "email": s.user.Email, "phone": "",
			"app_metadata": s.user.AppMetadata, "user_metadata": s.user.UserMetadata, "session_id": s.id, "is_anonymous": false,
			"aal": "aal1", "amr": []any{map[string]any{"method": "password", "timestamp": s.since.Unix()}},
			"iat": now.Unix(), "exp": expires,
		}),
		"token_type": "bearer", "expires_in": int(lifetime.Seconds()), "expires_at": expires, "refresh_token": s.current, "user": h.describe(s),
	})
}

func (h *Handler) describe(s session) map[string]any {
	return map[string]any{
		"id": s.user.ID, "aud": role, "role": role, "email": s.user.Email, "phone": "", "app_metadata": s.user.AppMetadata,
		"user_metadata": s.user.UserMetadata, "identities": []any{}, "is_anonymous": false, "email_confirmed_at": h.began, "confirmed_at": h.began,
		"created_at": h.began, "updated_at": s.since, "last_sign_in_at": s.since,
	}
}

func (h *Handler) user(w http.ResponseWriter, r *http.Request) *problem {
	s, refused := h.who(r)
	if refused != nil {
		return refused
	}
	writeJSON(w, http.StatusOK, h.describe(s))
	return nil
}

// logout ends sessions. Access tokens of theirs go on to count in the database until they expire, as in a real project.
func (h *Handler) logout(w http.ResponseWriter, r *http.Request) *problem {
	s, refused := h.who(r)
	if refused != nil {
		return refused
	}
	scope := r.URL.Query().Get("scope")
	switch scope {
	case "", "global", "local", "others":
	default:
		return badRequest("validation_failed", fmt.Sprintf("Unsupported logout scope %q", scope))
	}
	h.sessions.end(func(other *session) bool {
		switch scope {
		case "local":
			return other.id == s.id
		case "others":
			return other.user.ID == s.user.ID && other.id != s.id
		default:
			return other.user.ID == s.user.ID
		}
	})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// who finds the session of a request's token.
func (h *Handler) who(r *http.Request) (session, *problem) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return session{}, &problem{http.StatusUnauthorized, "no_authorization", "This endpoint requires a Bearer token"}
	}
	var claims struct {
		jwt.RegisteredClaims
		SessionID string `json:"session_id"`
	}
	if _, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return h.opts.Secret, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(h.opts.Now)); err != nil {
		return session{}, forbidden("bad_jwt", "invalid JWT: unable to parse or verify signature, "+err.Error())
	}
	if claims.Subject == "" {
		return session{}, forbidden("bad_jwt", "invalid claim: missing sub claim")
	}
	if !slices.ContainsFunc(h.opts.Users, func(u User) bool { return u.ID == claims.Subject }) {
		return session{}, forbidden("user_not_found", "User from sub claim in JWT does not exist")
	}
	s, ok := h.sessions.find(claims.SessionID)
	if !ok {
		return session{}, forbidden("session_not_found", "Session from session_id claim in JWT does not exist")
	}
	return s, nil
}
