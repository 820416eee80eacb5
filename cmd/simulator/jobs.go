package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

const (
	// account is what the account numbers of the demo's jobs begin with; the address follows.
	account = "demo "
	// pace is how often somebody looks after them.
	pace = time.Second
	// kept is how long a job is to be seen after its end.
	kept = "10 minutes"
)

// scene is a job of the demo, and what becomes of it.
type scene struct {
	ip               string
	cadence, minutes int
	device           spreedbtest.Behaviour
	// addressAfter is when it gets its address, and cancelledAfter when it is cancelled, both in the app and in seconds after its
	// start; 0 is at once, and never.
	addressAfter, cancelledAfter int
	// blinks says that every other minute the device is silent.
	blinks bool
}

// scenes are such as a technician meets; the addresses are from a range that is nobody's network (RFC 5737).
var scenes = []scene{
	{ip: "192.0.2.1", cadence: 5, minutes: 60, device: spreedbtest.Good(18 * time.Millisecond)},
	{ip: "192.0.2.2", cadence: 5, minutes: 30, device: spreedbtest.Lossy(0.2)},
	{ip: "192.0.2.3", cadence: 5, minutes: 15, device: spreedbtest.Dead()},
	{ip: "192.0.2.4", cadence: 5, minutes: 20, device: spreedbtest.Good(30 * time.Millisecond), blinks: true},
	{ip: "192.0.2.5", cadence: 2, minutes: 1, device: spreedbtest.Good(12 * time.Millisecond)},
	{ip: "192.0.2.6", cadence: 5, minutes: 5, device: spreedbtest.Good(22 * time.Millisecond), addressAfter: 40},
	{ip: "192.0.2.7", cadence: 2, minutes: 60, device: spreedbtest.Good(25 * time.Millisecond), cancelledAfter: 150},
	// SpreeDB itself fails: that says nothing about the device.
	{ip: "192.0.2.8", cadence: 10, minutes: 15, device: spreedbtest.Status(503)},
}

// What the app does for a scene. Each statement may be repeated. $1 is the account number.
const (
	startSQL = `
		insert into jobs (account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode, notification_email)
		select $1, $2, $3, $4, 'real_polling', 'demo@example.com'
		where not exists (select from jobs where account_number = $1 and status = 'running')`
	addressSQL = `
		update jobs set target_ip = $2
		where account_number = $1 and status = 'running' and target_ip is null and started_at < now() - make_interval(secs => $3)`
	cancelSQL = `
		update jobs set status = 'cancelled', completed_at = now()
		where account_number = $1 and status = 'running' and started_at < now() - make_interval(secs => $2)`
	removeSQL = `
		delete from jobs
		where starts_with(account_number, $1) and status <> 'running' and completed_at < now() - $2::interval`
)

// theatre plays the scenes again and again.
type theatre struct {
	db  *spreedbtest.SpreeDB
	dsn string
	log logr.Logger
}

// run ends with ctx. A database that is away is tried again.
func (t *theatre) run(ctx context.Context) {
	for _, s := range scenes {
		t.db.Set(s.ip, s.device)
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		if err := t.play(ctx); err != nil && ctx.Err() == nil {
			t.log.Error(err, "Demo jobs could not be looked after")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (t *theatre) play(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, t.dsn)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, s := range scenes {
		if err := t.playScene(ctx, conn, s); err != nil {
			return err
		}
	}
	if _, err := conn.Exec(ctx, removeSQL, account, kept); err != nil {
		return fmt.Errorf("remove old jobs: %w", err)
	}
	return nil
}

func (t *theatre) playScene(ctx context.Context, conn *pgx.Conn, s scene) error {
	number, ip := account+s.ip, &s.ip
	if s.addressAfter > 0 {
		ip = nil
	}
	if _, err := conn.Exec(ctx, startSQL, number, ip, s.cadence, s.minutes); err != nil {
		return fmt.Errorf("start the job of %s: %w", s.ip, err)
	}
	if s.addressAfter > 0 {
		if _, err := conn.Exec(ctx, addressSQL, number, s.ip, s.addressAfter); err != nil {
			return fmt.Errorf("give the job of %s its address: %w", s.ip, err)
		}
	}
	if s.cancelledAfter > 0 {
		if _, err := conn.Exec(ctx, cancelSQL, number, s.cancelledAfter); err != nil {
			return fmt.Errorf("cancel the job of %s: %w", s.ip, err)
		}
	}
	if s.blinks {
		device := s.device
		if time.Now().Minute()%2 == 1 {
			device = spreedbtest.Dead()
		}
		t.db.Set(s.ip, device)
	}
	return nil
}
