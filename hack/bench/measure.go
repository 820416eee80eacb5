package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/soundcheck-io/latency-operator/hack/bench/spreedb"
)

const (
	// floorSettles is how long the floor runs before it is measured: it has nothing to do but its work.
	floorSettles = 5 * time.Second
	// beforehand is how long the machine has to itself between a look at the API server's metrics and the window.
	beforehand = time.Second
	// lookEvery is how often memory is looked at.
	lookEvery = time.Second
)

// measurement is one program under one load.
type measurement struct {
	*trial
	program *program
	ledger  *spreedb.Ledger
	figures figures
	// stopped is how long the program took to end.
	stopped time.Duration
	// problems are what suspect noted.
	problems []string
}

// suspect notes why the figures are not to be believed.
func (m *measurement) suspect(format string, args ...any) {
	m.problems = append(m.problems, m.program.name+": "+fmt.Sprintf(format, args...))
}

// measure takes a program that has just been started through the window, and stops it.
func (m *measurement) measure(ctx context.Context, settle time.Duration) error {
	if err := m.awaitFirstPolls(ctx); err != nil {
		return err
	}
	if err := m.wait(ctx, settle); err != nil {
		return err
	}
	window, from, err := m.observe(ctx)
	if err != nil {
		return err
	}
	// The last slots of the window may be measured until the next ones are due.
	for window.Open() && time.Since(from) < m.opts.Window+m.opts.Cadence {
		if err := m.wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	m.figures.PeakInFlight, m.figures.PeakPerSecond = m.ledger.Peak(), m.ledger.Rush()
	stopping := time.Now()
	if err := m.program.stop(ctx); err != nil {
		m.suspect("%v", err)
	}
	m.stopped = time.Since(stopping)
	return m.account(ctx, window, from)
}

// awaitFirstPolls returns when every job was polled, or after a time in which it should have been.
func (m *measurement) awaitFirstPolls(ctx context.Context) error {
	jobs := len(m.jobs.rows)
	patience := 2*m.opts.Cadence + time.Minute + time.Duration(jobs)*10*time.Millisecond
	m.reporter.say("  %s: waiting until all of %s jobs were polled.", m.program.name, grouped(jobs))
	for deadline := time.Now().Add(patience); ; {
		select {
		case <-m.ledger.EveryPolled():
			m.figures.FirstPollSeconds = m.ledger.LastFirst().Sub(m.program.began).Seconds()
			return nil
		default:
		}
		if time.Now().After(deadline) {
			m.suspect("%d of %d jobs were not polled within %s", jobs-m.ledger.Polled(), jobs, patience)
			return nil
		}
		if err := m.wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// wait lets time pass while the program runs.
func (m *measurement) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return m.program.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reading is what is counted at an instant.
type reading struct {
	at       time.Time
	cpu      []time.Duration
	rig      time.Duration
	plane    time.Duration
	database time.Duration
	polls    int64
	machine  machine
	requests map[string]int64
	// posts are how long each POST of samples took that was answered so far.
	posts []time.Duration
}

// samplePosts is what a tables.Counter calls POSTs of samples.
const samplePosts = "POST samples"

func (m *measurement) read() (r reading, err error) {
	r.at, r.polls, r.requests, r.posts = time.Now(), m.ledger.Polls(), m.requests.Seen(), m.requests.Took(samplePosts)
	if r.cpu, err = m.program.cpu(); err != nil {
		return r, err
	}
	if r.rig, err = cpuOf(os.Getpid()); err != nil {
		return r, err
	}
	etcd, apiServer, err := m.ControlPlane()
	if err != nil {
		return r, err
	}
	for _, pid := range []int{etcd, apiServer} {
		used, err := cpuOf(pid)
		if err != nil {
			return r, err
		}
		r.plane += used
	}
	if r.database, err = m.database.cpu(); err != nil {
		return r, err
	}
	r.machine, err = machineNow()
	return r, err
}

// observe looks on during a window, and tells when it began. The API server's own count is read outside of it, since that costs
// it something; how long that takes is known only afterwards, and a window that began late would have polls of fewer slots.
func (m *measurement) observe(ctx context.Context) (window *spreedb.Window, from time.Time, err error) {
	writesBefore, err := apiWrites(ctx, m.kube.RESTClient())
	if err != nil {
		return nil, from, err
	}
	counted := time.Now()
	from = counted.Add(beforehand)
	window = m.ledger.Watch(from, m.opts.Window)
	if err := m.wait(ctx, time.Until(from)); err != nil {
		return nil, from, err
	}
	m.reporter.say("  %s: measuring for %s.", m.program.name, m.opts.Window)
	before, err := m.read()
	if err != nil {
		return nil, from, err
	}
	profiles := m.profile(ctx)
	if err := m.watchMemory(ctx, from.Add(m.opts.Window)); err != nil {
		return nil, from, err
	}
	after, err := m.read()
	if err != nil {
		return nil, from, err
	}
	if err := profiles(); err != nil {
		m.suspect("%v", err)
	}
	writesAfter, err := apiWrites(ctx, m.kube.RESTClient())
	if err != nil {
		return nil, from, err
	}
	m.figures.APIWrites = perSecond(writesBefore, writesAfter, time.Since(counted).Seconds())
	m.compare(before, after)
	return window, from, nil
}

// watchMemory returns at the end of the window.
func (m *measurement) watchMemory(ctx context.Context, end time.Time) error {
	var total, n int64
	for {
		now, err := m.program.memory()
		if err != nil {
			return errors.Join(m.program.ended(), err)
		}
		total, n = total+now.rss, n+1
		left := time.Until(end)
		if left <= 0 {
			const mib = 1 << 20
			mean := float64(total) / float64(n)
			m.figures.RSSMiB, m.figures.PeakMiB = mean/mib, float64(now.peak)/mib
			m.figures.KiBPerJob = mean / (1 << 10) / float64(len(m.jobs.rows))
			return nil
		}
		if err := m.wait(ctx, min(left, lookEvery)); err != nil {
			return err
		}
	}
}

// compare computes what happened between two readings.
func (m *measurement) compare(before, after reading) {
	f := &m.figures
	seconds := after.at.Sub(before.at).Seconds()
	f.Polls = after.polls - before.polls
	f.PollsPerSecond = float64(f.Polls) / seconds
	var cpu time.Duration
	used := make([]time.Duration, len(after.cpu))
	for i := range after.cpu {
		used[i] = after.cpu[i] - before.cpu[i]
		cpu += used[i]
	}
	f.Cores = cpu.Seconds() / seconds
	f.CPUPerPollMicros = ratio(float64(cpu.Microseconds()), float64(f.Polls))
	if len(used) > 1 {
		for _, one := range used {
			f.CPUShares = append(f.CPUShares, ratio(float64(one), float64(cpu)))
		}
	}
	f.APIWritesPerSecond = sum(f.APIWrites)
	f.APIWritesPerPoll = ratio(f.APIWritesPerSecond, f.PollsPerSecond)
	f.Supabase = perSecond(before.requests, after.requests, seconds)
	f.SupabasePerSecond = sum(f.Supabase)
	f.SupabasePerPoll = ratio(f.SupabasePerSecond, f.PollsPerSecond)
	posts := after.posts[len(before.posts):]
	f.SamplePostMillis, f.PollsPerPost = percentilesOf(posts), ratio(float64(f.Polls), float64(len(posts)))
	f.DatabaseCores = (after.database - before.database).Seconds() / seconds
	f.RigCores, f.ControlPlaneCores = (after.rig-before.rig).Seconds()/seconds, (after.plane-before.plane).Seconds()/seconds
	f.MachineBusy = after.machine.busySince(before.machine)
}

// firstSample is what figures.FirstSampleSeconds is to be, if there were no samples before.
func (m *measurement) firstSample() *float64 {
	at, known := m.database.sampled(m.jobs)
	switch {
	case !known:
		return nil
	case at.IsZero():
		return new(float64)
	}
	return new(at.Sub(m.program.began).Seconds())
}

// account counts what became of the slots, once the program has ended.
func (m *measurement) account(ctx context.Context, window *spreedb.Window, from time.Time) (err error) {
	f := &m.figures
	live, hanging := window.Of(false), window.Of(true)
	f.Slots, f.Unmeasured, f.Twice = live.Due, live.Unmeasured, live.Twice+hanging.Twice
	f.HangingSlots, f.HangingUnmeasured = hanging.Due, hanging.Unmeasured
	f.LatenessMillis = percentilesOf(live.Late)
	f.Measured = live.Due - live.Unmeasured + hanging.Due - hanging.Unmeasured
	if f.Stored, err = m.database.stored(ctx, from, from.Add(m.opts.Window)); err != nil {
		return err
	}
	f.StoredPerSecond = float64(f.Stored) / m.opts.Window.Seconds()
	f.Ignored = m.database.ignored()
	if m.program.name == operatorName {
		f.FirstSampleSeconds = m.firstSample()
	}
	if doubt := f.doubt(); doubt != "" {
		m.suspect("%s", doubt)
	}
	return nil
}
