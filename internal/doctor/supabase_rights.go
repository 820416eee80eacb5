package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// expiresSoon is how long before the end of a key somebody should know.
const expiresSoon = 7 * 24 * time.Hour

const newKey = "Put a good one into the Secret latency-operator-supabase; the operator takes it within two minutes, without a restart."

func (s *Supabase) key(context.Context) Finding {
	info, err := s.Credentials.Info()
	if err != nil {
		return Fail(newKey, "%s", err)
	}
	now := s.Clock.Now()
	if problem := info.Problem(now); problem != "" {
		return Fail(newKey, "%s", problem)
	}
	what := describe(info)
	answer, answered := s.answered()
	if answered && answer != nil && supabase.Classify(answer) == supabase.KeyRefused && answer.Code != "42501" {
		return Fail("Check that the key is of the same project as SUPABASE_URL, and that nobody has revoked it. "+newKey,
			"Supabase refuses the %s: it answered %d: %s", what, answer.Status, answer.Message)
	}
	if !info.Expires.IsZero() && info.Expires.Sub(now) < expiresSoon {
		return Warn("Renew it before that. "+newKey, "the %s is taken, and ends in %s", what, rough(info.Expires.Sub(now)))
	}
	return Good("the %s is taken", what)
}

// describe says what kind of key it is.
func describe(info supabase.KeyInfo) string {
	kind := map[string]string{supabase.KindSecret: "secret key", supabase.KindPublishable: "publishable key", supabase.KindJWT: "JWT"}[info.Kind]
	if kind == "" {
		kind = "key of an unknown kind"
	}
	if info.Role != "" {
		kind += " of the role " + info.Role
	}
	if !info.Expires.IsZero() {
		kind += ", good until " + info.Expires.UTC().Format(time.RFC3339) + ","
	}
	return kind
}

// rough is a duration for people: days, or hours, or minutes.
func rough(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	default:
		return d.Round(time.Second).String()
	}
}

// apply is how a migration is applied.
const apply = "Apply it as config/supabase/README.md says; the operator notices by itself."

func (s *Supabase) columns(ctx context.Context) Finding {
	schema, err := s.Client.Known(ctx)
	switch class := supabase.Classify(err); {
	case class == supabase.SchemaNotReady:
		text := messageOf(err)
		if answer, is := errors.AsType[*supabase.Error](err); is {
			text = answer.Message
		}
		return Fail(apply, "%s", text)
	case class == supabase.KeyRefused:
		return Fail("In the SQL editor: "+s.grant("select", "jobs"), "the role %s may not read the table jobs: %s", s.role(), messageOf(err))
	case err != nil:
		return Fail("Ask again; if it lasts, look at the database in the Supabase dashboard.", "%s", messageOf(err))
	}
	s.schema = schema
	if lacks := schema.Lacks(); lacks != "" {
		fix := strings.Replace(apply, "it", "them", 1)
		if s.role() != serviceRole {
			fix += " If they are applied, grant the role " + s.role() + " what it lacks."
		}
		return Warn(fix, "%s", lacks)
	}
	return Good("the database has everything that the operator uses")
}

// messageOf is what an answer says, without what was asked.
func messageOf(err error) string {
	text := err.Error()
	if _, after, found := strings.Cut(text, ": "); found {
		text = after
	}
	return text
}

const (
	// serviceRole is not kept from any row.
	serviceRole = "service_role"
	// unknownRole stands for one that the key does not tell.
	unknownRole = "of the key"
)

// role is whom requests run as, as far as the key says.
func (s *Supabase) role() string {
	if info, err := s.Credentials.Info(); err == nil && info.Role != "" {
		return info.Role
	}
	return unknownRole
}

// grant is the SQL that gives a right.
func (s *Supabase) grant(actions, table string) string {
	role := s.role()
	if role == unknownRole {
		role = "…"
	}
	return fmt.Sprintf("grant %s on public.%s to %s;", actions, table, role)
}

// atOnce is how many requests are made at the same time.
const atOnce = 4

func (s *Supabase) permissions(ctx context.Context) Finding {
	rights := s.schema.Rights()
	errs := make([]error, len(rights))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, right := range rights {
		group.Go(func() error {
			errs[i] = s.Client.Try(ctx, right)
			return nil
		})
	}
	_ = group.Wait() // nothing but nil
	var lacking, grants []string
	status := Warning
	for i, right := range rights {
		actions := strings.Join(right.Actions, ", ")
		switch {
		case errs[i] == nil:
			continue
		case supabase.LacksRight(errs[i]):
			grants = append(grants, s.grant(actions, right.Table))
			lacking = append(lacking, fmt.Sprintf("may not %s %s (%s)", actions, right.Table, right.Without))
		default:
			lacking = append(lacking, fmt.Sprintf("could not try to %s %s: %s", actions, right.Table, messageOf(errs[i])))
		}
		if right.Essential {
			status = Failed
		}
	}
	if len(lacking) == 0 {
		return Good("the role %s may do with the tables what the operator does: %d rights tried", s.role(), len(rights))
	}
	fix := "Ask again; if it lasts, look at the database in the Supabase dashboard."
	if len(grants) > 0 {
		fix = "In the SQL editor: " + strings.Join(grants, " ")
	}
	return Finding{Status: status, Found: "the role " + s.role() + " " + strings.Join(lacking, "; "), Fix: fix}
}

func (s *Supabase) rows(ctx context.Context) Finding {
	hidden, err := s.Client.HidesSamples(ctx)
	switch {
	case err != nil && !supabase.LacksRight(err):
		return Warn("Ask again; if it lasts, look at the database in the Supabase dashboard.", "%s", messageOf(err))
	case hidden != "":
		return Warn("If they were not deleted, row-level security hides them: add a policy for select on public.samples to "+s.role()+".",
			"the job %s has had samples, and none is to be seen", hidden)
	case !s.seen && s.role() == serviceRole:
		return Good("there is no job yet")
	case !s.seen:
		return Warn("If there are jobs, row-level security hides them: add policies for select and update on public.jobs to "+s.role()+".",
			"the role %s sees no row of jobs", s.role())
	default:
		return Good("jobs can be seen")
	}
}

// silentAfter is how long after its last word an operator counts as gone. It says one every 10 s.
const silentAfter = time.Minute

func (s *Supabase) operators(ctx context.Context) Finding {
	if slices.Contains(s.schema.Missing(), "pollers") {
		return Finding{Status: Skipped, Found: "not looked at, because the database has no table pollers"}
	}
	all, err := s.Client.Pollers(ctx)
	if err != nil {
		return Warn("Ask again; if it lasts, look at the database in the Supabase dashboard.", "%s", messageOf(err))
	}
	ahead, _ := s.Watch.Ahead()
	now := s.Clock.Now().Add(-ahead)
	var alive, troubled []string
	for _, p := range all {
		if now.Sub(p.SeenAt) > silentAfter {
			continue
		}
		alive = append(alive, fmt.Sprintf("%s (%s, %d jobs)", p.ID, p.Version, p.Jobs))
		if p.Message != "" {
			troubled = append(troubled, p.ID+" says "+p.Message)
		}
	}
	switch {
	case len(troubled) > 0:
		return Warn("Look at what has failed here; if nothing has, the log of that pod says more.", "%s", strings.Join(troubled, "; "))
	case len(alive) > 0:
		return Good("in touch with the database: %s", some(alive))
	case len(all) > 0:
		return Warn("Look at the operator's pods and their logs.", "none has been in touch with the database for %s; %s was the last", rough(now.Sub(all[0].SeenAt)), all[0].ID)
	default:
		return Warn("Look at the operator's pods and their logs, unless none has been started yet.", "none has said in the table pollers that it is alive")
	}
}
