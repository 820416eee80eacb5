package auth

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/google/uuid"
)

// session is one sign-in. It lasts until somebody signs out of it, or shows a refresh token that was used up long ago.
type session struct {
	id    string
	user  User
	since time.Time

	// current is the refresh token that counts, empty once the session's tokens are revoked. former is the one before it.
	current, former string
}

// sessions are those that last.
type sessions struct {
	mu      sync.Mutex
	byID    map[string]*session
	byToken map[string]*session
}

func newSessions() *sessions {
	return &sessions{byID: map[string]*session{}, byToken: map[string]*session{}}
}

// begin returns a copy, as the others do, because a session changes with each refresh.
func (l *sessions) begin(user User, now time.Time) session {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &session{id: uuid.NewString(), user: user, since: now}
	l.byID[s.id] = s
	l.renew(s)
	return *s
}

// renew gives a session its next refresh token.
func (l *sessions) renew(s *session) {
	s.former, s.current = s.current, rand.Text()
	l.byToken[s.current] = s
}

// refresh takes a refresh token for the next one. The one before the last may be shown again, because an answer may have been lost: it
// gets what it got before. An older one ends the session, since somebody may have stolen it.
func (l *sessions) refresh(token string) (session, *problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, known := l.byToken[token]
	switch {
	case !known:
		return session{}, badRequest("refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
	case s.current == "" || token != s.current && token != s.former:
		s.current, s.former = "", ""
		return session{}, badRequest("refresh_token_already_used", "Invalid Refresh Token: Already Used")
	case token == s.current:
		l.renew(s)
	}
	return *s, nil
}

func (l *sessions) find(id string) (session, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.byID[id]
	if !ok {
		return session{}, false
	}
	return *s, true
}

// end forgets the sessions for which over is true, with all refresh tokens that they ever had.
func (l *sessions) end(over func(*session) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, s := range l.byID {
		if over(s) {
			delete(l.byID, id)
		}
	}
	for token, s := range l.byToken {
		if over(s) {
			delete(l.byToken, token)
		}
	}
}
