package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

// aggregate is what the tables say of a job.
type aggregate struct {
	samples, success, missed, failed, unmeasured int64
	min, avg, max, jitter                        *float64
}

// awaitStatuses awaits that each LatencyJob tells what the tables do. The operator writes a few statuses a second.
func (c *conductor) awaitStatuses(ctx context.Context) error {
	var wrong []string
	ok, err := c.rig.await(ctx, recoveryPatience, func() (_ bool, err error) {
		wrong, err = c.rig.wrongStatuses(ctx)
		return len(wrong) == 0, err
	})
	if err != nil || ok {
		return err
	}
	for _, text := range wrong[:min(len(wrong), 10)] {
		c.rig.complain("%s", text)
	}
	if more := len(wrong) - 10; more > 0 {
		c.rig.complain("and %d LatencyJobs more", more)
	}
	return nil
}

func (r *rig) wrongStatuses(ctx context.Context) ([]string, error) {
	var jobs v1alpha1.LatencyJobList
	if err := r.Client.List(ctx, &jobs, client.InNamespace(r.Namespace)); err != nil {
		return nil, fmt.Errorf("read the LatencyJobs: %w", err)
	}
	tables, err := r.aggregates(ctx)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for i := range jobs.Items {
		lj := &jobs.Items[i]
		if want, known := tables[lj.Name]; known { // else the row was deleted
			if flaw := compare(&lj.Status, want); flaw != "" {
				wrong = append(wrong, fmt.Sprintf("the status of LatencyJob %s says %s", lj.Name, flaw))
			}
		}
	}
	return wrong, nil
}

// compare says what a status tells otherwise than the tables; empty if nothing.
func compare(s *v1alpha1.LatencyJobStatus, want aggregate) string {
	var flaws []string
	for _, f := range []struct {
		name      string
		got, want int64
	}{
		{"samples.total", s.Samples.Total, want.samples}, {"samples.success", s.Samples.Success, want.success},
		{"samples.missed", s.Samples.Missed, want.missed}, {"samples.systemError", s.Samples.SystemError, want.failed},
		{"slots.unmeasured", s.Slots.Unmeasured, want.unmeasured}, {"slots.due", s.Slots.Due, want.samples + want.unmeasured},
	} {
		if f.got != f.want {
			flaws = append(flaws, fmt.Sprintf("%s %d for %d", f.name, f.got, f.want))
		}
	}
	rtt := v1alpha1.RTTSummary{}
	if s.RTT != nil {
		rtt = *s.RTT
	}
	for _, f := range []struct {
		name, got string
		want      *float64
	}{{"rtt.min", rtt.Min, want.min}, {"rtt.avg", rtt.Avg, want.avg}, {"rtt.max", rtt.Max, want.max}, {"jitter", s.Jitter, want.jitter}} {
		if !sameMillis(f.got, f.want) {
			text := "none"
			if f.want != nil {
				text = strconv.FormatFloat(*f.want, 'f', 3, 64) + "ms"
			}
			flaws = append(flaws, fmt.Sprintf("%s %q for %s", f.name, f.got, text))
		}
	}
	switch s.Phase {
	case v1alpha1.PhaseCompleted, v1alpha1.PhaseCancelled, v1alpha1.PhaseFailed:
	default:
		flaws = append(flaws, fmt.Sprintf("phase %q for a job that is over", s.Phase))
	}
	return strings.Join(flaws, ", ")
}

// sameMillis compares a time as a status writes it with a number of milliseconds.
func sameMillis(got string, want *float64) bool {
	if got == "" || want == nil {
		return got == "" && want == nil
	}
	millis, err := strconv.ParseFloat(strings.TrimSuffix(got, "ms"), 64)
	return err == nil && math.Abs(millis-*want) < 0.00051
}

func (r *rig) aggregates(ctx context.Context) (map[string]aggregate, error) {
	conn, err := r.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `
		select jobs.id::text, s.*, coalesce(g.slots, 0) from jobs
		left join lateral (
			select count(*), count(*) filter (where status = 'success'), count(*) filter (where status = 'missed'), count(*) filter (where status = 'system_error'),
				min(rtt_ms)::float8, avg(rtt_ms)::float8, max(rtt_ms)::float8, avg(jitter_ms)::float8
			from samples where job_id = jobs.id
		) s on true
		left join lateral (select sum(slots)::bigint as slots from sample_gaps where job_id = jobs.id) g on true`)
	if err != nil {
		return nil, fmt.Errorf("sum up the tables: %w", err)
	}
	out := map[string]aggregate{}
	var id string
	var a aggregate
	_, err = pgx.ForEachRow(rows, []any{&id, &a.samples, &a.success, &a.missed, &a.failed, &a.min, &a.avg, &a.max, &a.jitter, &a.unmeasured}, func() error {
		out[id] = a
		a = aggregate{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sum up the tables: %w", err)
	}
	return out, nil
}
