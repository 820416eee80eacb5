package postgrest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// apiError is a refusal as PostgREST words it.
type apiError struct {
	Code    string  `json:"code"`
	Details *string `json:"details"`
	Hint    *string `json:"hint"`
	Message string  `json:"message"`

	status int
	// challenge describes a refused token in WWW-Authenticate.
	challenge string
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func refuse(status int, code, message string) *apiError {
	return &apiError{status: status, Code: code, Message: message}
}

func (e *apiError) withDetails(details string) *apiError {
	e.Details = &details
	return e
}

func (e *apiError) withHint(hint string) *apiError {
	e.Hint = &hint
	return e
}

// unsupported keeps a test from passing for the wrong reason: PostgREST would understand the request, we do not.
func unsupported(what string) *apiError {
	return refuse(http.StatusNotImplemented, "UNSUPPORTED", "the stand-in for PostgREST does not support "+what)
}

func badRequest(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, "PGRST102", fmt.Sprintf(format, args...))
}

func cannotParse(what, text string, column int, details string) *apiError {
	message := fmt.Sprintf("%q (line 1, column %d)", fmt.Sprintf("failed to parse %s (%s)", what, text), column)
	return refuse(http.StatusBadRequest, "PGRST100", message).withDetails(details)
}

func badRange(details string) *apiError {
	return refuse(http.StatusRequestedRangeNotSatisfiable, "PGRST103", "Requested range not satisfiable").withDetails(details)
}

func noColumn(table, column string) *apiError {
	return refuse(http.StatusBadRequest, "PGRST204", fmt.Sprintf("Could not find the '%s' column of '%s' in the schema cache", column, table))
}

func noSchemaCache() *apiError {
	return refuse(http.StatusServiceUnavailable, "PGRST002", "Could not query the database for the schema cache. Retrying.")
}

func (e *apiError) write(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Proxy-Status", "PostgREST; error="+e.Code)
	switch e.status {
	case http.StatusUnauthorized:
		value := "Bearer"
		if e.challenge != "" {
			value = fmt.Sprintf(`Bearer error="invalid_token", error_description="%s"`, e.challenge)
		}
		header.Set("WWW-Authenticate", value)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", "0")
	}
	e.writeBody(w, e.status)
}

func (e *apiError) writeBody(w http.ResponseWriter, status int) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e) // it is nothing but texts
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSpace(body.Bytes())) // a client that went away is no error of ours
}

// fromDatabase translates an error of pgx. anonymous says that the request runs as the anonymous role.
func fromDatabase(err error, anonymous bool) *apiError {
	var api *apiError
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &connect): // whatever the reason, even one that PostgreSQL itself gives
		return refuse(http.StatusServiceUnavailable, "PGRST000", "Database connection error.").withDetails(connect.Error())
	case errors.As(err, &pg):
		out := refuse(statusOf(pg, anonymous), pg.Code, pg.Message)
		if pg.Detail != "" {
			out.Details = &pg.Detail
		}
		if pg.Hint != "" {
			out.Hint = &pg.Hint
		}
		return out
	}
	return refuse(http.StatusServiceUnavailable, "PGRST001", "Database client error. Retrying.").withDetails(err.Error())
}

var (
	noSuchRole = regexp.MustCompile(`^role ".*" does not exist$`)

	// statusByCode goes before statusByClass, the first two characters of a SQLSTATE.
	statusByCode = map[string]int{
		"23503": 409, "23505": 409, "25006": 405, "53400": 500, "57P01": 503,
		"42883": 404, "42P01": 404, "42P17": 500, "P0001": 400, "21000": 500,
	}
	statusByClass = map[string]int{
		"08": 503, "09": 500, "0L": 403, "0P": 403, "25": 500, "28": 403, "2D": 500, "38": 500, "39": 500, "3B": 500, "40": 500,
		"53": 503, "54": 500, "55": 500, "57": 500, "58": 500, "F0": 500, "HV": 500, "P0": 500, "XX": 500,
	}
)

func statusOf(pg *pgconn.PgError, anonymous bool) int {
	switch {
	case pg.Code == "42501" && anonymous:
		return http.StatusUnauthorized
	case pg.Code == "42501":
		return http.StatusForbidden
	case pg.Code == "22023" && noSuchRole.MatchString(pg.Message):
		return http.StatusUnauthorized
	}
	if status, err := strconv.Atoi(strings.TrimPrefix(pg.Code, "PT")); err == nil && strings.HasPrefix(pg.Code, "PT") {
		return status
	}
	if status, ok := statusByCode[pg.Code]; ok {
		return status
	}
	if status, ok := statusByClass[pg.Code[:min(2, len(pg.Code))]]; ok {
		return status
	}
	return http.StatusBadRequest
}
