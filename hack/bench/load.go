package main

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/soundcheck-io/latency-operator/hack/bench/spreedb"
	"github.com/soundcheck-io/latency-operator/hack/bench/tables"
)

// How the starts of the jobs lie in time.
const (
	phasesSpread = "spread" // evenly over the cadence
	phasesSecond = "second" // evenly over one second
	phasesEqual  = "equal"  // at one instant
)

// week is longer than any run, in minutes.
const week = 7 * 24 * 60

// load is what is measured. What is 0 or empty is as other flags say.
type load struct {
	// Jobs is how many there are, and Hanging how many more, whose targets are never answered.
	Jobs     int    `json:"jobs"`
	Hanging  int    `json:"hanging"`
	Phases   string `json:"phases"`
	Replicas int    `json:"replicas"`
}

// flagged is a load as a flag has it.
type flagged load

// UnmarshalText reads jobs[+hanging][@phases], such as 5000+500@equal.
func (l *flagged) UnmarshalText(b []byte) (err error) {
	counts, phases, at := strings.Cut(string(b), "@")
	jobs, hanging, plus := strings.Cut(counts, "+")
	if l.Jobs, err = strconv.Atoi(jobs); err == nil && plus {
		l.Hanging, err = strconv.Atoi(hanging)
	}
	l.Phases = phases
	switch {
	case err != nil || l.Jobs < 1 || l.Hanging < 0:
		return fmt.Errorf("%q is no load: give a number of jobs, such as 5000, or 5000+500 for 500 more that hang", b)
	case l.Jobs+l.Hanging > spreedb.MaxDevices:
		return fmt.Errorf("there are addresses for %d jobs only", spreedb.MaxDevices)
	case at && phases != phasesSpread && phases != phasesSecond && phases != phasesEqual:
		return errors.New("phases are spread, second or equal, such as 3000@second")
	}
	return nil
}

// plain tells whether there is nothing special about the load but its size.
func (l load) plain() bool { return l.Hanging == 0 && l.Phases == phasesSpread && l.Replicas == 1 }

// String names the load.
func (l load) String() string {
	text := grouped(l.Jobs) + " jobs"
	if l.Hanging > 0 {
		text += fmt.Sprintf(", %s more that hang", grouped(l.Hanging))
	}
	switch l.Phases {
	case phasesSecond:
		text += ", started in the same second"
	case phasesEqual:
		text += ", started at the same instant"
	}
	if l.Replicas > 1 {
		text += fmt.Sprintf(", %d replicas", l.Replicas)
	}
	return text
}

// file is a name for files about the load, such as 5000+500-spread-1.
func (l load) file() string {
	return fmt.Sprintf("%d+%d-%s-%d", l.Jobs, l.Hanging, l.Phases, l.Replicas)
}

// loads are all that the options ask for, in order.
func (o *options) loads() []load {
	var all []load
	for _, f := range o.Jobs {
		l := load(f)
		l.Hanging = cmp.Or(l.Hanging, o.Hanging)
		l.Phases = cmp.Or(l.Phases, o.Phases)
		for _, l.Replicas = range o.Replicas {
			all = append(all, l)
		}
	}
	return all
}

// population are the jobs of a load. Their order is that of their starts, and has nothing to do with that of their ids.
type population struct {
	rows    []tables.Job
	devices []spreedb.Device
}

// populate makes the jobs. They start within the last cadence, as if the operator had been away for a moment.
func populate(l load, opts *options, now time.Time) population {
	random := rand.New(rand.NewPCG(opts.Seed, 1))
	span := map[string]time.Duration{phasesSpread: opts.Cadence, phasesSecond: time.Second}[l.Phases]
	begin := now.UTC().Truncate(time.Microsecond).Add(-span)
	var p population
	add := func(start time.Time, d spreedb.Device) {
		var id uuid.UUID
		for i := range id {
			id[i] = byte(random.Uint32())
		}
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // as a random one is marked
		p.rows = append(p.rows, tables.Job{
			ID: id.String(), TargetIP: spreedb.Address(len(p.rows)), CadenceSeconds: int(opts.Cadence / time.Second), DurationMinutes: week, StartedAt: start,
		})
		d.Start, d.Cadence = start, opts.Cadence
		p.devices = append(p.devices, d)
	}
	for i := range l.Jobs {
		add(begin.Add(span*time.Duration(i)/time.Duration(l.Jobs)).Truncate(time.Microsecond), spreedb.Device{Dead: random.Float64() < opts.Dead})
	}
	for i := range l.Hanging {
		add(begin.Add(span*time.Duration(i)/time.Duration(l.Hanging)).Truncate(time.Microsecond), spreedb.Device{Hangs: true})
	}
	return p
}
