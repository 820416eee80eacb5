package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

// fate is one job of the demo and what is to become of it.
type fate struct {
	// name stands where the app has the account number.
	name    string
	ip      string
	cadence time.Duration
	minutes int
	device  spreedbtest.Behaviour
	// outcomes that its samples may have; none for a job that is not to be measured.
	outcomes []sample.Status
	// shows is what a viewer can see.
	shows string

	simulated bool
	// ipLater leaves the address out at first; cancelled cancels the job on the way.
	ipLater, cancelled bool
}

func fates() []fate {
	const median = 18 * time.Millisecond
	answers := []sample.Status{sample.Success}
	silent := []sample.Status{sample.Missed}
	return []fate{
		{name: "good-modem", ip: "10.20.0.1", cadence: 2 * time.Second, minutes: 60, device: spreedbtest.Good(median), outcomes: answers,
			shows: "answers every poll"},
		{name: "lossy-modem", ip: "10.20.0.2", cadence: 2 * time.Second, minutes: 60, device: spreedbtest.Lossy(0.3), outcomes: []sample.Status{sample.Success, sample.Missed},
			shows: "leaves 3 polls in 10 without an answer"},
		{name: "dead-modem", ip: "10.20.0.3", cadence: 2 * time.Second, minutes: 60, device: spreedbtest.Dead(), outcomes: silent,
			shows: "never answers"},
		{name: "one-minute", ip: "10.20.0.4", cadence: 5 * time.Second, minutes: 1, device: spreedbtest.Good(median), outcomes: answers,
			shows: "is completed after a minute"},
		{name: "ip-later", ip: "10.20.0.5", cadence: 2 * time.Second, minutes: 60, device: spreedbtest.Good(median), outcomes: answers, ipLater: true,
			shows: "waits until it gets its address"},
		{name: "ipv6", ip: "2001:db8::6", cadence: 2 * time.Second, minutes: 60, device: spreedbtest.Good(2 * median), outcomes: answers,
			shows: "has an IPv6 address"},
		{name: "cut-short", ip: "10.20.0.7", cadence: 2 * time.Second, minutes: 60, device: spreedbtest.Good(median), outcomes: answers, cancelled: true,
			shows: "is cancelled in the app half-way"},
		{name: "simulated", ip: "10.20.0.8", cadence: 2 * time.Second, minutes: 60, simulated: true,
			shows: "belongs to the app's simulator: the operator leaves it alone"},
	}
}

// job is a fate that was put into the database.
type job struct {
	fate
	id   string
	grid schedule.Grid
	// measurable is when it got its address, over when it was cancelled.
	measurable, over time.Time
}

// insert starts a job as the app does, but with an id that begins with a number: kubectl sorts by id, and a viewer wants the
// order of the list.
func insert(ctx context.Context, db *pgx.Conn, number int, f fate, start time.Time) (*job, error) {
	j := &job{fate: f, grid: schedule.Grid{Start: start, Cadence: f.cadence, Duration: time.Duration(f.minutes) * time.Minute}, measurable: start}
	mode, ip := "real_polling", &f.ip
	if f.simulated {
		mode = "simulated"
	}
	if f.ipLater {
		ip = nil
	}
	err := db.QueryRow(ctx, `
		insert into jobs (id, account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode, started_at, notification_email)
		values (overlay(gen_random_uuid()::text placing $1 from 1)::uuid, $2, $3, $4, $5, $6, $7, 'demo@example.com') returning id::text`,
		fmt.Sprint(number), f.name, ip, int(f.cadence.Seconds()), f.minutes, mode, start).Scan(&j.id)
	if err != nil {
		return nil, fmt.Errorf("insert the job %s: %w", f.name, err)
	}
	return j, nil
}

// event is something that somebody does in the app while the demo runs.
type event struct {
	// at is the time since the jobs' start.
	at   time.Duration
	note string
	do   func(ctx context.Context, db *pgx.Conn, now time.Time) error
}

// events are in the order in which they happen. length is 0 for a demo without an end.
func events(jobs []*job, length time.Duration) []event {
	address, cancel := 15*time.Second, 30*time.Second
	if length > 0 {
		address, cancel = min(address, length/4), length/2
	}
	var addresses, cancellations []event
	for _, j := range jobs {
		if j.ipLater {
			addresses = append(addresses, event{address, j.name + " got its address in the app: " + j.ip, func(ctx context.Context, db *pgx.Conn, now time.Time) error {
				j.measurable = now
				_, err := db.Exec(ctx, `update jobs set target_ip = $2 where id = $1`, j.id, j.ip)
				return err
			}})
		}
		if j.cancelled {
			cancellations = append(cancellations, event{cancel, j.name + " was cancelled in the app", func(ctx context.Context, db *pgx.Conn, now time.Time) error {
				j.over = now
				_, err := db.Exec(ctx, `update jobs set status = 'cancelled', completed_at = $2 where id = $1 and status = 'running'`, j.id, now)
				return err
			}})
		}
	}
	return append(addresses, cancellations...)
}
