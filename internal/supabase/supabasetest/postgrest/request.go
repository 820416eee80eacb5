package postgrest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const schemaName = "public"

// request is what a client asks for, in our terms.
type request struct {
	method  string
	table   *table
	prefer  prefer
	media   media
	outputs []output
	filters []condition
	order   []term
	window  window
	// conflict are the columns of on_conflict.
	conflict []string
	payload  payload
}

func (r *request) reads() bool { return r.method == http.MethodGet || r.method == http.MethodHead }

// representation says whether rows are wanted in the answer.
func (r *request) representation() bool { return r.reads() || r.prefer.returns == "representation" }

// locates says whether the answer names the new row's address.
func (r *request) locates() bool {
	return r.method == http.MethodPost && r.prefer.returns == "headers-only"
}

// checkMethod refuses what PostgREST does not know, and what we do not.
func checkMethod(method string) *apiError {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete:
		return nil
	case http.MethodPut, http.MethodOptions:
		return unsupported(method)
	}
	return refuse(http.StatusMethodNotAllowed, "PGRST117", "Unsupported HTTP method: "+method)
}

// tableName reads the path.
func tableName(path string) (string, *apiError) {
	name := strings.TrimPrefix(path, "/")
	switch {
	case name == "":
		return "", unsupported("the root, which describes the API")
	case strings.HasPrefix(name, "rpc/"):
		return "", unsupported("functions")
	case strings.Contains(name, "/"):
		return "", refuse(http.StatusNotFound, "PGRST125", "Invalid path specified in request URL")
	}
	return name, nil
}

func checkProfile(header http.Header) *apiError {
	for _, name := range []string{"Accept-Profile", "Content-Profile"} {
		if profile := header.Get(name); profile != "" && profile != schemaName {
			return refuse(http.StatusNotAcceptable, "PGRST106", "Invalid schema: "+profile).
				withHint("Only the following schemas are exposed: " + schemaName)
		}
	}
	return nil
}

// parse understands a request, all but its token.
func parse(r *http.Request, body []byte, known *schema) (*request, *apiError) {
	if err := checkMethod(r.Method); err != nil {
		return nil, err
	}
	if err := checkProfile(r.Header); err != nil {
		return nil, err
	}
	name, err := tableName(r.URL.Path)
	if err != nil {
		return nil, err
	}
	out := &request{method: r.Method}
	if out.prefer, err = parsePrefer(r.Header); err != nil {
		return nil, err
	}
	if out.media, err = negotiate(r.Header); err != nil {
		return nil, err
	}
	query, bad := url.ParseQuery(r.URL.RawQuery)
	if bad != nil {
		return nil, unsupported("a query string like this: " + bad.Error())
	}
	if err := out.parseQuery(query, r.Header); err != nil {
		return nil, err
	}
	writes := r.Method == http.MethodPost || r.Method == http.MethodPatch
	if writes {
		if out.payload, err = parsePayload(r.Header.Get("Content-Type"), body, query); err != nil {
			return nil, err
		}
	}
	if out.table, err = known.table(name); err != nil {
		return nil, err
	}
	return out, out.payload.check(out.table)
}

// parseQuery reads the query string. A name that is not reserved is a filter.
func (r *request) parseQuery(query url.Values, header http.Header) *apiError {
	for _, name := range []string{"select", "columns", "on_conflict", "order", "limit", "offset"} {
		if len(query[name]) > 1 {
			return unsupported("several " + name + " parameters")
		}
	}
	var err *apiError
	if r.outputs, err = parseSelect(query.Get("select")); err != nil {
		return err
	}
	if text := query.Get("order"); text != "" {
		if r.order, err = parseOrder(text); err != nil {
			return err
		}
	}
	if r.reads() { // a limit of writes is ignored
		ranges := ""
		if r.method == http.MethodGet {
			ranges = header.Get("Range")
		}
		if r.window, err = parseWindow(query.Get("limit"), query.Get("offset"), ranges); err != nil {
			return err
		}
	}
	if text := query.Get("on_conflict"); text != "" {
		r.conflict = splitColumns(text)
	}
	return r.parseFilters(query)
}

func (r *request) parseFilters(query url.Values) *apiError {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, text := range query[name] {
			var c condition
			var err *apiError
			switch name {
			case "select", "columns", "on_conflict", "order", "limit", "offset":
				continue
			case "and", "or":
				c, err = parseGroup(name, false, text)
			case "not.and", "not.or":
				c, err = parseGroup(strings.TrimPrefix(name, "not."), true, text)
			default:
				if strings.ContainsAny(name, `.>"`) {
					return unsupported("a filter on " + name)
				}
				c, err = parseFilter(name, text)
			}
			if err != nil {
				return err
			}
			r.filters = append(r.filters, c)
		}
	}
	if r.method == http.MethodPost && len(r.filters) > 0 {
		return unsupported("filters on an insert")
	}
	return nil
}

func splitColumns(text string) []string {
	var out []string
	for name := range strings.SplitSeq(text, ",") {
		out = append(out, strings.Trim(strings.TrimSpace(name), `"`))
	}
	return out
}
