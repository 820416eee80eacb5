package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// newest is how many rows of samples are shown at most.
const newest = 10

// viewer reads what the demo shows.
type viewer struct {
	stack *stack.Stack
	db    *pgx.Conn
	rest  *rest.RESTClient
	names map[string]string
}

func newViewer(s *stack.Stack, db *pgx.Conn, jobs []*job) (*viewer, error) {
	config := rest.CopyConfig(s.Config)
	config.GroupVersion, config.APIPath = &v1alpha1.GroupVersion, "/apis"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the API server: %w", err)
	}
	v := &viewer{stack: s, db: db, rest: client, names: map[string]string{}}
	for _, j := range jobs {
		v.names[j.id] = j.name
	}
	return v, nil
}

// latencyJobs asks for what `kubectl get latencyjobs` prints: the API server makes the table for it.
func (v *viewer) latencyJobs(ctx context.Context) (*metav1.Table, error) {
	body, err := v.rest.Get().Namespace(v.stack.Namespace).Resource("latencyjobs").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").Do(ctx).Raw()
	if err != nil {
		return nil, fmt.Errorf("read the LatencyJobs: %w", err)
	}
	var table metav1.Table
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // as kubectl prints them
	if err := decoder.Decode(&table); err != nil {
		return nil, fmt.Errorf("read the table of LatencyJobs: %w", err)
	}
	return &table, nil
}

// samples are the newest rows of the table samples.
func (v *viewer) samples(ctx context.Context) ([][]string, error) {
	rows, err := v.db.Query(ctx, `
		select job_id::text, sequence_number, status, rtt_ms, jitter_ms, scheduled_at, recorded_at
		from samples order by recorded_at desc, id limit $1`, newest)
	if err != nil {
		return nil, fmt.Errorf("read the samples: %w", err)
	}
	defer rows.Close()
	table := [][]string{{"JOB", "SEQUENCE_NUMBER", "STATUS", "RTT_MS", "JITTER_MS", "SCHEDULED_AT", "RECORDED_AT"}}
	for rows.Next() {
		var (
			id, status  string
			number      int64
			rtt, jitter *float64
			due, asked  *time.Time
		)
		if err := rows.Scan(&id, &number, &status, &rtt, &jitter, &due, &asked); err != nil {
			return nil, fmt.Errorf("read a sample: %w", err)
		}
		table = append(table, []string{v.names[id], strconv.FormatInt(number, 10), status, millis(rtt), millis(jitter), instant(due), instant(asked)})
	}
	return table, rows.Err()
}

func millis(f *float64) string {
	if f == nil {
		return "null"
	}
	return strconv.FormatFloat(*f, 'f', 3, 64)
}

func instant(t *time.Time) string {
	if t == nil {
		return "null"
	}
	return clockTime(*t)
}

// totals is one line.
func (v *viewer) totals(ctx context.Context) (string, error) {
	var all, success, missed, failed int
	err := v.db.QueryRow(ctx, `
		select count(*), count(*) filter (where status = 'success'), count(*) filter (where status = 'missed'),
			count(*) filter (where status = 'system_error') from samples`).Scan(&all, &success, &missed, &failed)
	if err != nil {
		return "", fmt.Errorf("count the samples: %w", err)
	}
	return fmt.Sprintf("Total: %d samples in the database (%d success, %d missed, %d system_error); SpreeDB was asked %d times.",
		all, success, missed, failed, v.stack.SpreeDB.Total().Polls), nil
}

// frame is what is shown at one time. What comes last is what a small terminal cuts off.
func (v *viewer) frame(ctx context.Context, title string, notes []string, width int) ([]string, error) {
	table, err := v.latencyJobs(ctx)
	if err != nil {
		return nil, err
	}
	totals, err := v.totals(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := v.samples(ctx)
	if err != nil {
		return nil, err
	}
	lines := []string{title, ""}
	lines = append(lines, kubectlTable(table, v.names, width)...)
	lines = append(lines, "", totals)
	lines = append(lines, notes...)
	lines = append(lines, "", "Newest rows of the table samples (UTC):")
	return append(lines, align(rows)...), nil
}

// outcomes reads what came of the jobs.
func (v *viewer) outcomes(ctx context.Context, jobs []*job, stopped time.Time) ([]outcome, error) {
	var mirrored v1alpha1.LatencyJobList
	if err := v.stack.Client.List(ctx, &mirrored); err != nil {
		return nil, fmt.Errorf("read the LatencyJobs: %w", err)
	}
	statuses := map[string]*v1alpha1.LatencyJobStatus{}
	for i := range mirrored.Items {
		statuses[mirrored.Items[i].Spec.JobID] = &mirrored.Items[i].Status
	}
	outcomes := make([]outcome, 0, len(jobs))
	for _, j := range jobs {
		o := outcome{job: j, stopped: stopped}
		if status := statuses[j.id]; status != nil {
			o.mirrored, o.unmeasured, o.why = true, status.Slots.Unmeasured, reasons(status.Slots.UnmeasuredBy)
		}
		if err := v.db.QueryRow(ctx, `select status from jobs where id = $1`, j.id).Scan(&o.row); err != nil {
			return nil, fmt.Errorf("read the row of job %s: %w", j.name, err)
		}
		rows, err := v.db.Query(ctx, `select coalesce(scheduled_at, '0001-01-01 00:00:00+00'), status from samples where job_id = $1 order by 1`, j.id)
		if err != nil {
			return nil, fmt.Errorf("read the samples of job %s: %w", j.name, err)
		}
		o.samples, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m measured, err error) {
			err = row.Scan(&m.due, &m.status)
			return m, err
		})
		if err != nil {
			return nil, fmt.Errorf("read the samples of job %s: %w", j.name, err)
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

// reasons is such as "OperatorDown 2, Busy 1".
func reasons(counts *v1alpha1.UnmeasuredCounts) string {
	if counts == nil {
		return ""
	}
	text := ""
	for _, reason := range []struct {
		name  string
		count int64
	}{
		{"OperatorDown", counts.OperatorDown}, {"Busy", counts.Busy}, {"Overload", counts.Overload},
		{"Suspended", counts.Suspended}, {"NoTarget", counts.NoTarget},
	} {
		if reason.count == 0 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%s %d", reason.name, reason.count)
	}
	return text
}
