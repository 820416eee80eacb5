package postgrest

import (
	"net/http"
	"slices"
	"strings"
)

// output is one column of the answer. The column "*" stands for all.
type output struct {
	column, alias string
}

// otherSelects are what PostgREST takes in select and we do not, by what shows it.
var otherSelects = map[string]string{
	"(": "embedding and aggregates", ")": "embedding and aggregates", "::": "casts", "->": "JSON paths", `"`: "quoted columns", "...": "spreading",
}

// parseSelect reads plain columns, with aliases: "id,n:name". Nothing is all columns.
func parseSelect(text string) ([]output, *apiError) {
	if text == "" {
		return []output{{column: "*"}}, nil
	}
	var out []output
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		for mark, what := range otherSelects {
			if strings.Contains(item, mark) {
				return nil, unsupported(what + " in select")
			}
		}
		alias, column, aliased := strings.Cut(item, ":")
		if !aliased {
			alias, column = "", item
		}
		if column == "" || aliased && alias == "" {
			return nil, cannotParse("select parameter", text, strings.Index(text, item)+1, "unexpected end of input expecting field name (* or [a..z0..9_$])")
		}
		out = append(out, output{column: column, alias: alias})
	}
	return out, nil
}

// media is the form of the answer's body.
type media struct {
	contentType string
	// single says that the body is one object, not a list.
	single bool
}

var (
	listMedia   = media{contentType: "application/json; charset=utf-8"}
	singleMedia = media{contentType: "application/vnd.pgrst.object+json; charset=utf-8", single: true}

	// otherMedia are what PostgREST can make of rows and we cannot.
	otherMedia = []string{
		"text/csv", "application/geo+json", "application/vnd.pgrst.array", "application/vnd.pgrst.array+json",
		"application/vnd.pgrst.plan", "application/vnd.pgrst.plan+json", "application/vnd.pgrst.plan+text", "application/octet-stream",
	}
)

// negotiate takes the first media type of Accept that it knows.
func negotiate(header http.Header) (media, *apiError) {
	accept := strings.Join(header.Values("Accept"), ", ")
	if strings.TrimSpace(accept) == "" {
		return listMedia, nil
	}
	for item := range strings.SplitSeq(accept, ",") {
		name, parameters, _ := strings.Cut(item, ";")
		name = strings.TrimSpace(name)
		switch {
		case strings.Contains(parameters, "nulls="):
			return media{}, unsupported("stripping nulls")
		case name == "*/*" || name == "application/*" || name == "application/json":
			return listMedia, nil
		case name == "application/vnd.pgrst.object+json" || name == "application/vnd.pgrst.object":
			return singleMedia, nil
		case slices.Contains(otherMedia, name):
			return media{}, unsupported("answers of the type " + name)
		}
	}
	return media{}, refuse(http.StatusNotAcceptable, "PGRST107", "None of these media types are available: "+accept)
}
