package auth

import (
	"encoding/json"
	"net/http"
)

const (
	versionHeader = "X-Supabase-Api-Version"
	// newErrors is the version from which on errors have another form. supabase-js asks for it.
	newErrors = "2024-01-01"
)

// problem is an error as Supabase Auth tells it.
type problem struct {
	status        int
	code, message string
}

func badRequest(code, message string) *problem {
	return &problem{http.StatusBadRequest, code, message}
}

func forbidden(code, message string) *problem {
	return &problem{http.StatusForbidden, code, message}
}

// write answers in the form that the client's version of the API has. Versions are dates.
func (p *problem) write(w http.ResponseWriter, version string) {
	if version < newErrors {
		writeJSON(w, p.status, map[string]any{"code": p.status, "error_code": p.code, "msg": p.message})
		return
	}
	w.Header().Set(versionHeader, newErrors)
	writeJSON(w, p.status, map[string]any{"code": p.code, "message": p.message})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that went away is no error of ours
}
