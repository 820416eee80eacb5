package postgrest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// prefer is what the Prefer headers of a request ask for. Of several values of one kind the first counts.
type prefer struct {
	resolution, missing, returns, count, handling string
	maxAffected                                   *int64
}

var preferences = map[string][]string{
	"resolution": {"merge-duplicates", "ignore-duplicates"},
	"missing":    {"default", "null"},
	"return":     {"representation", "minimal", "headers-only"},
	"count":      {"exact", "planned", "estimated"},
	"handling":   {"strict", "lenient"},
	"tx":         {"commit", "rollback"},
}

func parsePrefer(header http.Header) (prefer, *apiError) {
	seen := map[string]string{}
	var invalid []string
	var limit *int64
	for token := range strings.SplitSeq(strings.Join(header.Values("Prefer"), ","), ",") {
		token = strings.TrimSpace(token)
		kind, value, _ := strings.Cut(token, "=")
		switch n, err := strconv.ParseInt(value, 10, 64); {
		case token == "":
		case kind == "timezone":
			return prefer{}, unsupported("Prefer: timezone")
		case kind == "max-affected" && err == nil:
			if limit == nil {
				limit = &n
			}
		case slices.Contains(preferences[kind], value):
			if _, again := seen[kind]; !again {
				seen[kind] = value
			}
		default:
			invalid = append(invalid, token)
		}
	}
	p := prefer{
		resolution: seen["resolution"], missing: seen["missing"], returns: seen["return"], count: seen["count"],
		handling: seen["handling"],
	}
	if p.handling == "strict" {
		if len(invalid) > 0 {
			return prefer{}, refuse(http.StatusBadRequest, "PGRST122", "Invalid preferences given with handling=strict").
				withDetails("Invalid preferences: " + strings.Join(invalid, ", "))
		}
		p.maxAffected = limit
	}
	if p.count == "planned" || p.count == "estimated" {
		return prefer{}, unsupported("Prefer: count=" + p.count)
	}
	return p, nil
}

// applied is the answer's Preference-Applied; a method names only what it honours.
func (p prefer) applied(method string) string {
	var out []string
	add := func(kind, value string, methods ...string) {
		if value != "" && (len(methods) == 0 || slices.Contains(methods, method)) {
			out = append(out, kind+"="+value)
		}
	}
	add("resolution", p.resolution, http.MethodPost)
	add("missing", p.missing, http.MethodPost, http.MethodPatch)
	add("return", p.returns, http.MethodPost, http.MethodPatch, http.MethodDelete)
	add("count", p.count)
	add("handling", p.handling)
	if p.maxAffected != nil {
		add("max-affected", strconv.FormatInt(*p.maxAffected, 10), http.MethodPatch, http.MethodDelete)
	}
	return strings.Join(out, ", ")
}
