package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
)

const (
	// askAgain is how often a request is made that the operator has no room for, and longestWait how long one waits for the next.
	askAgain    = 6
	longestWait = 15 * time.Second
	// wordsLimit is how much is read of an answer that is not samples.
	wordsLimit = 4 << 10
)

// operatorSource reads from a pod of the operator, with the user's own rights.
type operatorSource struct {
	*reference
	cluster *cluster
	clock   clock.Clock

	pod    *operator
	tunnel *tunnel
	token  string
	// accepted tells that the operator has taken the token, so that it is refused only when its time is over.
	accepted bool
}

// find implements source. The jobs are the cluster's; an id that is none of them is taken as it is, because the database keeps jobs for
// longer.
func (s *operatorSource) find(ctx context.Context, text string) (string, error) {
	list, namespace, err := s.cluster.list(ctx)
	if err != nil {
		return "", err
	}
	job, err := pick(list.Items, text, namespace)
	switch {
	case err != nil:
		return "", err
	case job == nil:
		return strings.ToLower(text), nil
	default:
		return job.Name, nil
	}
}

// read implements source.
func (s *operatorSource) read(ctx context.Context, id string, since time.Time, do func(outcomes.Line) error) error {
	for attempt := 1; ; attempt++ {
		wait, err := s.try(ctx, id, since, do)
		if wait == 0 || attempt == askAgain {
			return err
		}
		select {
		case <-s.clock.After(min(wait, longestWait)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// try reads once. It says after how long it is worth trying again, where the operator had no room or the token's time is over; then
// do has had nothing.
func (s *operatorSource) try(ctx context.Context, id string, since time.Time, do func(outcomes.Line) error) (again time.Duration, err error) {
	if err := s.connect(ctx); err != nil {
		return 0, err
	}
	res, err := s.ask(ctx, id, since)
	if err != nil {
		err = s.broken(ctx, err)
		s.close() // the pod may be gone: the next try looks for another
		return 0, passing{err}
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return s.refused(res)
	}
	s.accepted = true
	for lines := outcomes.NewReader(res.Body); ; {
		line, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF):
			return 0, nil
		case errors.Is(err, outcomes.ErrNotOutcomes):
			return 0, fmt.Errorf("pod %s: %w", s.pod.pod.Name, err)
		case err != nil:
			s.close()
			return 0, passing{err}
		}
		if err := do(line); err != nil {
			return 0, err
		}
	}
}

// connect makes a tunnel unless there is one.
func (s *operatorSource) connect(ctx context.Context) (err error) {
	if s.tunnel != nil {
		return nil
	}
	if s.pod, err = s.cluster.operatorPod(ctx, true); err != nil {
		return err
	}
	namespace := s.pod.pod.Namespace
	s.accepted = false
	s.token, err = s.pod.token(ctx, func(err error) error {
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("there is no service account %s in the namespace %s, with which samples are read: install the operator's own manifests", readerAccount, namespace)
		}
		return s.cluster.explain(err, "get a token of the service account "+readerAccount, namespace)
	})
	if err != nil {
		return err
	}
	s.tunnel, err = s.pod.open(ctx, func(err error) error {
		if strings.Contains(err.Error(), "forbidden") {
			return fmt.Errorf("you may not forward a port of the operator's pod in the namespace %s: ask its administrator for the Role latency-operator-cli-user", namespace)
		}
		return passing{fmt.Errorf("pod %s cannot be reached through the cluster: %w", s.pod.pod.Name, err)}
	})
	return err
}

func (s *operatorSource) ask(ctx context.Context, id string, since time.Time) (*http.Response, error) {
	where := s.tunnel.base + "/jobs/" + url.PathEscape(id) + "/samples"
	if !since.IsZero() {
		where += "?since=" + url.QueryEscape(since.UTC().Format(time.RFC3339Nano))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("User-Agent", userAgent())
	sent := s.clock.Now()
	res, err := s.tunnel.client.Do(req)
	if err == nil {
		s.answered(sent, res.Header)
	}
	return res, err
}

// broken says why there is no answer.
func (s *operatorSource) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if network, ok := errors.AsType[*url.Error](err); ok {
		err = network.Err
	}
	return s.tunnel.broken(err, s.pod.pod.Name)
}

// refused makes an error of an answer that is not samples.
func (s *operatorSource) refused(res *http.Response) (again time.Duration, err error) {
	body, _ := io.ReadAll(io.LimitReader(res.Body, wordsLimit)) // what came of it is said
	words := sentence(string(body))
	switch res.StatusCode {
	case http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // without one, at once is too soon
		return max(time.Second, time.Duration(seconds)*time.Second), passing{errors.New(words)}
	case http.StatusServiceUnavailable:
		return 0, passing{errors.New(words)}
	case http.StatusUnauthorized:
		s.close() // the next try gets another token
		if s.accepted {
			again = time.Second
		}
		return again, fmt.Errorf("the operator does not know you: %s", words)
	case http.StatusForbidden:
		return 0, fmt.Errorf("the operator refuses: %s", words)
	case http.StatusNotFound:
		if strings.HasPrefix(words, "404 ") {
			return 0, fmt.Errorf("%w: pod %s is older than this program, or serves its metrics without TLS", errNotReachable, s.pod.pod.Name)
		}
		return 0, errors.New(words)
	default:
		return 0, fmt.Errorf("the operator answered %s: %s", res.Status, words)
	}
}

// close implements source.
func (s *operatorSource) close() {
	if s.tunnel != nil {
		s.tunnel.close()
		s.tunnel = nil
	}
}
