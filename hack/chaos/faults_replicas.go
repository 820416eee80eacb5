package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/controllers"
	"github.com/soundcheck-io/latency-operator/internal/stack"
)

const (
	// takeover is how long the jobs of a replica that was killed may be without one: until its Lease has lapsed, and some more.
	takeover = 20 * time.Second
	// joinPatience is how long a replica may take until it has its share of the jobs.
	joinPatience = 30 * time.Second
	// cutOff is how long a replica is cut off: longer than its Lease lasts, and than it takes to see that.
	cutOff = 25 * time.Second
	// calm is how long after a hand-over there must be nothing of it to be seen any more.
	calm = 3 * time.Second
)

// replica is one more operator, with a name, a spool and a way to the API server of its own. It shares the jobs with the others.
type replica struct {
	*stack.Operator
	rig      *rig
	name     string
	api      *stack.Link
	settings stack.OperatorOptions
}

// join starts a replica and returns when it has its share.
func (r *rig) join(ctx context.Context) (_ *replica, err error) {
	r.replicas++
	p := &replica{rig: r, name: fmt.Sprintf("replica-%d", r.replicas), settings: r.settings()}
	if p.api, err = r.LinkToAPIServer(); err != nil {
		return nil, err
	}
	kubeconfig, err := r.KubeconfigThrough(p.api)
	if err != nil {
		return nil, err
	}
	spool := filepath.Join(r.Dir, "spool-of-"+p.name)
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return nil, err
	}
	p.settings.Env["POD_NAME"], p.settings.Env["SPOOL_DIR"], p.settings.Env["KUBECONFIG"] = p.name, spool, kubeconfig
	p.settings.Args = nil // the ports are those of the first
	return p, p.start(ctx)
}

// start runs it, and returns when it has its share.
func (p *replica) start(ctx context.Context) (err error) {
	began := time.Now()
	if p.Operator, err = p.rig.Operator(p.settings); err != nil {
		return err
	}
	return p.rig.joined(ctx, p.name, began)
}

// stop has it hand its jobs over and end.
func (p *replica) stop(ctx context.Context) error {
	defer p.api.Close()
	if p.Ending() != "" {
		p.rig.complain("%s ended by itself: %s", p.name, p.Ending())
		return nil
	}
	return p.rig.stop(ctx, p.Operator)
}

// joined returns when the operator of a name has its share of the jobs, as its Lease says, which it renewed since an instant.
func (r *rig) joined(ctx context.Context, name string, since time.Time) error {
	ok, err := r.await(ctx, joinPatience, func() (bool, error) {
		var leases coordinationv1.LeaseList
		err := r.Client.List(ctx, &leases, client.InNamespace(r.Namespace), client.MatchingLabels{controllers.MemberLabel: controllers.MemberValue})
		if err != nil {
			return false, fmt.Errorf("read the Leases: %w", err)
		}
		for i := range leases.Items {
			spec := &leases.Items[i].Spec
			if *spec.HolderIdentity == name && spec.RenewTime.After(since) && spec.AcquireTime.Time.Before(time.Now()) {
				return true, nil
			}
		}
		return false, nil
	})
	if err == nil && !ok {
		r.complain("%s has no share of the jobs %s after its start", name, joinPatience)
	}
	return err
}

// killReplica kills one of two, and starts it again with its spool when the other has all jobs.
func killReplica(ctx context.Context, r *rig) (*effect, error) {
	p, err := r.join(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.measureSome(ctx), r.measureSome(ctx)); err != nil {
		return nil, err
	}
	killed := time.Now()
	r.killed(p.Operator)
	if err := r.wait(ctx, takeover+calm); err != nil {
		return nil, err
	}
	name, silence := r.silence(killed)
	r.say("  without a replica that was killed, a job was not polled for %.1f s at most", silence.Seconds())
	if silence > takeover {
		r.complain("job %s was not polled for %.1f s after a replica was killed", name, silence.Seconds())
	}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return &effect{felt: times(1), heal: p.stop}, r.measureSome(ctx)
}

// silence is the longest time from an instant on in which a job had no poll although it was to have one, and whose that was.
func (r *rig) silence(since time.Time) (id string, longest time.Duration) {
	polls := map[string][]time.Time{}
	for _, p := range r.SpreeDB.Polls() {
		if p.Arrived.After(since) {
			polls[p.Target.String()] = append(polls[p.Target.String()], p.Arrived)
		}
	}
	now := time.Now()
	for _, j := range r.jobs.measurable() {
		last := since
		for _, at := range append(polls[j.ip], now) {
			if d := at.Sub(last) - j.grid().Cadence; d > longest {
				id, longest = j.id, d
			}
			last = at
		}
	}
	return id, longest
}

// drainReplicas replaces two replicas one after the other, as an update does: each goes when its successor has its share.
func drainReplicas(ctx context.Context, r *rig) (*effect, error) {
	second, err := r.join(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.measureSome(ctx); err != nil {
		return nil, err
	}
	third, err := r.join(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(second.stop(ctx), r.measureSome(ctx)); err != nil {
		return nil, err
	}
	return &effect{
		felt: times(2),
		heal: func(ctx context.Context) error {
			return errors.Join(restart(ctx, r), r.measureSome(ctx), third.stop(ctx), r.measureSome(ctx))
		},
	}, nil
}

// restart stops the first operator, while another one is there, and starts it again.
func restart(ctx context.Context, r *rig) error {
	if err := r.stop(ctx, r.operator); err != nil {
		r.complain("%s", err)
	}
	began := time.Now()
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	return errors.Join(r.start(), r.joined(ctx, host, began))
}

// cutOffReplica cuts one of two off from the API server: it goes on with its jobs, and the other one takes them over too.
func cutOffReplica(ctx context.Context, r *rig) (*effect, error) {
	p, err := r.join(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.measureSome(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	p.api.Cut()
	healed := time.Time{}
	return &effect{
		felt: func(context.Context) (int, error) {
			until := time.Now()
			if !healed.IsZero() {
				until = healed
			}
			return r.twice(began, until), nil
		},
		heal: func(ctx context.Context) error {
			if err := r.wait(ctx, time.Until(began.Add(cutOff))); err != nil {
				return err
			}
			if err := p.api.Mend(); err != nil {
				return err
			}
			healed = time.Now()
			if err := errors.Join(r.joined(ctx, p.name, healed), r.wait(ctx, calm)); err != nil {
				return err
			}
			alone := time.Now()
			if err := errors.Join(r.wait(ctx, 2*calm), p.stop(ctx)); err != nil {
				return err
			}
			if n := r.twice(alone, alone.Add(2*calm)); n > 0 {
				r.complain("%d slots were polled twice when a replica was back that had been cut off", n)
			}
			return nil
		},
	}, nil
}

// twice counts the slots that came due between two instants and were polled more than once.
func (r *rig) twice(from, to time.Time) (n int) {
	jobs := map[string]*job{}
	for _, j := range r.jobs.measurable() {
		jobs[j.ip] = j
	}
	type slot struct {
		of *job
		k  int64
	}
	polled := map[slot]int{}
	for _, p := range r.SpreeDB.Polls() {
		j := jobs[p.Target.String()]
		if j == nil {
			continue
		}
		s := slot{j, j.grid().At(p.Arrived)}
		if due := j.grid().Due(s.k); due.Before(from) || due.After(to) {
			continue
		}
		if polled[s]++; polled[s] == 2 {
			n++
		}
	}
	return n
}
