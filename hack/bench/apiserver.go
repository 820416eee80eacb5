package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
)

// writes are how many requests the API server has had that change something, by resource.
type writes map[string]float64

// apiWrites asks the API server for its own count.
func apiWrites(ctx context.Context, client rest.Interface) (writes, error) {
	stream, err := client.Get().AbsPath("/metrics").Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	defer func() { _ = stream.Close() }()
	return parseWrites(stream)
}

// changing are the verbs of apiserver_request_total that change something.
var changing = map[string]bool{"POST": true, "PUT": true, "PATCH": true, "APPLY": true, "DELETE": true, "DELETECOLLECTION": true}

func parseWrites(metrics io.Reader) (writes, error) {
	w := writes{}
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		labels, ok := strings.CutPrefix(lines.Text(), "apiserver_request_total{")
		if !ok {
			continue
		}
		labels, value, ok := strings.Cut(labels, "} ")
		if !ok || !changing[label(labels, "verb")] {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("read the metric apiserver_request_total: %w", err)
		}
		resource := label(labels, "resource")
		if sub := label(labels, "subresource"); sub != "" {
			resource += "/" + sub
		}
		w[resource] += n
	}
	return w, lines.Err()
}

// label is the value of a label in a list such as code="200",verb="PUT". None of those that matter here has a comma or a quote.
func label(labels, name string) string {
	for pair := range strings.SplitSeq(labels, ",") {
		if value, ok := strings.CutPrefix(pair, name+`="`); ok {
			return strings.TrimSuffix(value, `"`)
		}
	}
	return ""
}
