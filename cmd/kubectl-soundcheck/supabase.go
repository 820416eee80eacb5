package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// The variables of the way around the operator.
const (
	keyVariable   = "SUPABASE_PUBLISHABLE_KEY"
	tokenVariable = "SUPABASE_ACCESS_TOKEN"
)

// supabaseSource reads from Supabase, as the user, so that row-level security applies.
type supabaseSource struct {
	*reference
	client *supabase.Client
	// anonymous tells that there is no token, so that the user is nobody in particular.
	anonymous bool
}

func newSupabaseSource(url string, clk clock.Clock) (*supabaseSource, error) {
	if err := supabase.CheckURL(url); err != nil {
		return nil, errors.New("--supabase-url is not a project's URL: give it with http or https and nothing behind the host, such as https://abcdefgh.supabase.co")
	}
	key, token := strings.TrimSpace(os.Getenv(keyVariable)), strings.TrimSpace(os.Getenv(tokenVariable))
	if key == "" {
		return nil, fmt.Errorf("%s is not set: give the app's publishable key (sb_publishable_…, or the older anon key), and in %s the token of a user", keyVariable, tokenVariable)
	}
	for variable, value := range map[string]string{keyVariable: key, tokenVariable: token} {
		if err := refuseServiceKey(variable, value, clk); err != nil {
			return nil, err
		}
	}
	credentials, err := supabase.NewCredentials(supabase.Source{Variable: keyVariable, Value: key}, supabase.Source{Variable: tokenVariable, Value: token}, clk)
	if err != nil {
		return nil, err
	}
	if info, err := credentials.Info(); err == nil && !info.Expires.IsZero() && !clk.Now().Before(info.Expires) {
		return nil, fmt.Errorf("the token in %s expired at %s: log in to Sound Check again and take a new one", tokenVariable, info.Expires.Format(time.RFC3339))
	}
	theirs := &reference{clock: clk}
	client, err := supabase.New(supabase.Options{URL: url, Credentials: credentials, UserAgent: userAgent(), Observer: theirs, Clock: clk})
	if err != nil {
		return nil, err
	}
	return &supabaseSource{reference: theirs, client: client, anonymous: token == ""}, nil
}

// refuseServiceKey keeps keys that row-level security does not apply to off people's machines.
func refuseServiceKey(variable, value string, clk clock.Clock) error {
	if value == "" {
		return nil
	}
	credentials, err := supabase.NewCredentials(supabase.Source{Variable: variable, Value: value}, supabase.Source{}, clk)
	if err != nil {
		return err
	}
	if info, err := credentials.Info(); err == nil && info.Role == "service_role" {
		return fmt.Errorf("%s holds a service key, which may do everything to the database: it belongs into the operator's Secret and nowhere else. Give the app's publishable key and the token of a user", variable)
	}
	return nil
}

// find implements source.
func (s *supabaseSource) find(ctx context.Context, text string) (string, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	if isID(text) {
		return text, nil
	}
	if address, err := netip.ParseAddr(text); err == nil {
		jobs, err := s.client.NewestJob(ctx, address)
		if err != nil {
			return "", s.explain(err)
		}
		if len(jobs) == 0 {
			return "", s.explain(fmt.Errorf("there is no job for %s that you may see", address))
		}
		return jobs[0].ID, nil
	}
	first, last, ok := bounds(text)
	if !ok {
		return "", fmt.Errorf("%q is neither the id of a job, nor the beginning of one, nor an IP address", text)
	}
	jobs, err := s.client.JobsBetween(ctx, first, last, 6)
	switch {
	case err != nil:
		return "", s.explain(err)
	case len(jobs) == 0:
		return "", s.explain(fmt.Errorf("there is no job that begins with %q and that you may see", text))
	case len(jobs) > 1:
		var ids []string
		for _, job := range jobs {
			ids = append(ids, job.ID+" ("+job.TargetIP+", "+job.Status+")")
		}
		return "", fmt.Errorf("several jobs begin with %q: give more of the id. Some are %s", text, strings.Join(ids, ", "))
	}
	return jobs[0].ID, nil
}

// bounds are the first and the last id that begin with a text.
func bounds(text string) (first, last string, ok bool) {
	const zeros, last16 = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
	if text == "" || len(text) > len(zeros) {
		return "", "", false
	}
	first, last = text+zeros[len(text):], text+last16[len(text):]
	return first, last, isID(first) && isID(last)
}

// read implements source.
func (s *supabaseSource) read(ctx context.Context, id string, since time.Time, do func(outcomes.Line) error) error {
	rows, err := s.client.JobsByID(ctx, []string{id})
	if err != nil {
		return s.explain(err)
	}
	if len(rows) == 0 || rows[0].ID != id {
		return s.explain(fmt.Errorf("there is no job %s that you may see", id))
	}
	if err := do(outcomes.Line{Job: jobLine(&rows[0])}); err != nil {
		return err
	}
	// do cannot stop the client, so what it says is kept, and it is not called again.
	var stopped error
	hand := func(line outcomes.Line) {
		if stopped == nil {
			stopped = do(line)
		}
	}
	var gaps []sample.Gap
	if err := s.client.EachGap(ctx, id, since, func(g sample.Gap) { gaps = append(gaps, g) }); err != nil {
		return s.explain(err)
	}
	handGaps := func(before time.Time) {
		for len(gaps) > 0 && (before.IsZero() || gaps[0].From.Before(before)) {
			g := gaps[0]
			gaps = gaps[1:]
			hand(outcomes.Line{Gap: &outcomes.Gap{FromAt: g.From, ToAt: g.To, Slots: g.Slots, Reason: g.Reason}})
		}
	}
	err = s.client.EachSampleSince(ctx, id, since, func(r supabase.Stored) {
		handGaps(r.ScheduledAt)
		hand(outcomes.Line{Sample: &outcomes.Sample{ScheduledAt: r.ScheduledAt, RecordedAt: r.RecordedAt, Status: r.Status, RTT: r.RTT, Jitter: r.Jitter}})
	})
	handGaps(time.Time{})
	if stopped != nil {
		return stopped
	}
	return s.explain(err)
}

func jobLine(row *supabase.Job) *outcomes.Job {
	started, _ := time.Parse(time.RFC3339Nano, row.StartedAt) // zero where it cannot be read
	ended, _ := time.Parse(time.RFC3339Nano, row.CompletedAt)
	return &outcomes.Job{
		ID: row.ID, TargetIP: row.TargetIP, CadenceSeconds: row.CadenceSeconds, DurationMinutes: row.DurationMinutes,
		StartedAt: started.UTC(), CompletedAt: ended.UTC(), Status: row.Status,
	}
}

// explain says what to do about an error.
func (s *supabaseSource) explain(err error) error {
	hint := ""
	if s.anonymous {
		hint = fmt.Sprintf(". Without a token in %s you ask as nobody in particular, and may see less", tokenVariable)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, supabase.ErrNoHistory):
		return fmt.Errorf("%w%s", err, hint)
	case supabase.Classify(err) == supabase.KeyRefused:
		return fmt.Errorf("the key or the token is refused: check %s and %s (%w)%s", keyVariable, tokenVariable, err, hint)
	case supabase.Away(err) && errors.As(err, new(*supabase.Error)):
		return passing{err}
	default:
		return fmt.Errorf("%w%s", err, hint)
	}
}

// close implements source.
func (s *supabaseSource) close() {}
