package main

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/doctor"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// doctorOptions are those of the command doctor. It has the operator's settings too: in a pod, those that are variables.
type doctorOptions struct {
	Output  string        `short:"o" enum:"text,json" default:"text" help:"How to tell what was found: text, or json."`
	Timeout time.Duration `default:"30s" help:"How long it may take; what has not been looked at by then is skipped."`
}

// clinic is everything that is looked at, and what is wrong before anything is.
type clinic struct {
	opts  *options
	clock clock.Clock
	// wrong is what is wrong with the settings.
	wrong []string

	supabase *doctor.Supabase
	spreedb  *doctor.SpreeDB
	cluster  *clusterVisit
	// noCluster is why there is none.
	noCluster error
}

// diagnose looks at everything and gives the exit code. Settings that cannot be read are a finding like any other.
func diagnose(ctx context.Context, p *program, unreadable error, out io.Writer) (int, error) {
	if p.Doctor.Timeout <= 0 {
		return 1, errors.New("--timeout must be more than zero")
	}
	ctx, cancel := context.WithTimeout(ctx, p.Doctor.Timeout)
	defer cancel()
	c := &clinic{opts: &p.options, clock: clock.RealClock{}}
	if unreadable != nil {
		c.wrong = []string{unreadable.Error()}
	} else {
		c.prepare()
	}
	report := &doctor.Report{Version: buildVersion()}
	screen := doctor.NewPrinter(out)
	if p.Doctor.Output == "json" {
		screen = doctor.NewPrinter(io.Discard)
	}
	var failed error
	doctor.Run(ctx, c.chains(unreadable != nil), func(f doctor.Finding) {
		report.Add(f)
		failed = errors.Join(failed, screen.Print(f))
	})
	healthy := report.Conclude()
	failed = errors.Join(failed, screen.End(report))
	if p.Doctor.Output == "json" {
		failed = report.PrintJSON(out)
	}
	if failed != nil || !healthy {
		return 1, failed
	}
	return 0, nil
}

// prepare makes the clients, which make no request yet. What cannot be made is wrong with the settings.
func (c *clinic) prepare() {
	note := func(err error) bool {
		if err != nil {
			c.wrong = append(c.wrong, err.Error())
		}
		return err == nil
	}
	settings := c.opts.check()
	watch := &doctor.Watch{}
	authorities := supabase.NewAuthorities(c.opts.CAFile, c.clock, logr.Discard())
	if note(settings) {
		credentials, err := credentialsOf(c.opts, c.clock)
		if note(err) {
			database, err := databaseOf(c.opts, credentials, authorities, watch, c.clock)
			if note(err) {
				c.supabase = &doctor.Supabase{
					URL: strings.TrimSpace(c.opts.SupabaseURL), Client: database, Credentials: credentials, Authorities: authorities, FromFile: c.opts.CAFile != "",
					Watch: watch, Clock: c.clock,
				}
			}
		}
	}
	if where, err := clusterOf(c.opts); err != nil {
		c.noCluster = err
	} else {
		c.cluster, c.noCluster = newClusterVisit(where, c.clock)
	}
	prober, err := proberOf(c.opts)
	if note(err) {
		c.spreedb = &doctor.SpreeDB{BaseURL: c.opts.PollerBaseURL, Client: prober, ThroughProxy: c.opts.PollerThroughProxy, Targets: c.targets, Clock: c.clock}
	}
}

// targets are addresses of running jobs; none where the cluster does not tell.
func (c *clinic) targets(ctx context.Context) []netip.Addr {
	if c.cluster == nil {
		return nil
	}
	return c.cluster.targets(ctx)
}

// chains are what is looked at, or, where the settings cannot be read, what would be.
func (c *clinic) chains(unreadable bool) []doctor.Chain {
	const why = "not looked at, because settings failed"
	spool := &doctor.Spool{Dirs: spoolDirs(c.opts), LimitBytes: c.opts.SpoolLimit << 20, Clock: c.clock}
	all := []doctor.Chain{
		{{Name: "settings", Look: c.settings}},
		(&doctor.Supabase{}).Chain().Skip(why), (&doctor.SpreeDB{}).Chain().Skip(why), c.cluster.chain(), spool.Chain(),
	}
	switch {
	case unreadable:
		all[3], all[4] = all[3].Skip(why), all[4].Skip(why)
	case c.noCluster != nil:
		all[3] = c.cluster.chain().Without(doctor.Fail("Run this in the operator's pod, or set KUBECONFIG.", "%s", c.noCluster))
	}
	if c.supabase != nil {
		all[1] = c.supabase.Chain()
	}
	if c.spreedb != nil {
		all[2] = c.spreedb.Chain()
	}
	return all
}

// settings says what is used, as far as anybody may see it.
func (c *clinic) settings(context.Context) doctor.Finding {
	if len(c.wrong) > 0 {
		return doctor.Fail("Correct it in the Secret latency-operator-supabase, the ConfigMap latency-operator-settings or the Deployment: the operator does not start with it.",
			"%s", strings.Join(c.wrong, "; "))
	}
	project, _ := url.Parse(strings.TrimSpace(c.opts.SupabaseURL))
	key := "a variable"
	if c.opts.KeyFile != "" {
		key = "a file"
	}
	return doctor.Good("Supabase is %s://%s, with the key from %s; SpreeDB is %s", project.Scheme, project.Host, key, c.opts.PollerBaseURL)
}
