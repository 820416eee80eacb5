package controllers

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// What the API accepts; see the markers of LatencyJobSpec.
const (
	maxCadenceSeconds  = 24 * 60 * 60
	maxDurationMinutes = 365 * 24 * 60
)

// image is what a row looks like in the cluster.
type image struct {
	// spec is nil when none can be made of the row.
	spec *v1alpha1.LatencyJobSpec
	// problem says in a sentence what keeps the row from being measured as it stands; empty when nothing does.
	problem string
}

// imageOf makes a LatencyJob's spec of a running row. A row without a usable address has one too: its job waits.
func imageOf(row *supabase.Job) image {
	if row.Problem != "" {
		return image{problem: row.Problem}
	}
	startedAt, err := time.Parse(time.RFC3339Nano, row.StartedAt)
	switch {
	case uuid.Validate(row.ID) != nil || row.ID != strings.ToLower(row.ID) || len(row.ID) != 36:
		return image{problem: fmt.Sprintf("id is %q, which is not a UUID in lower case", row.ID)}
	case row.CadenceSeconds < 1 || row.CadenceSeconds > maxCadenceSeconds:
		return image{problem: fmt.Sprintf("cadence_seconds is %d; it must be from 1 to %d", row.CadenceSeconds, maxCadenceSeconds)}
	case row.DurationMinutes < 1 || row.DurationMinutes > maxDurationMinutes:
		return image{problem: fmt.Sprintf("duration_minutes is %d; it must be from 1 to %d", row.DurationMinutes, maxDurationMinutes)}
	case err != nil || startedAt.Year() < 1970: // the zero time of some languages would become null
		return image{problem: fmt.Sprintf("started_at is %q, which is not a time that a job can start at", clip(row.StartedAt, 40))}
	}
	target, problem := targetOf(row.TargetIP)
	return image{
		spec: &v1alpha1.LatencyJobSpec{
			JobID:           row.ID,
			TargetIP:        target,
			CadenceSeconds:  int32(row.CadenceSeconds),
			DurationMinutes: int32(row.DurationMinutes),
			StartedAt:       metav1.MicroTime{Time: startedAt.UTC().Truncate(time.Microsecond)},
			State:           v1alpha1.StateRunning,
		},
		problem: problem,
	}
}

// targetOf is the address in the form that the API accepts, or what is wrong with it. A row without one is no problem.
func targetOf(text string) (target, problem string) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", ""
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return "", fmt.Sprintf("target_ip is %q, which is not an IPv4 or IPv6 address", clip(text, 60))
	}
	return addr.Unmap().String(), ""
}

// plan is what a comparison of rows and LatencyJobs calls for.
type plan struct {
	// apply lists the LatencyJobs to make or change.
	apply []change
	// ask lists the LatencyJobs whose row is not among the running ones, so that it has to be looked up.
	ask []*v1alpha1.LatencyJob
	// remove lists the LatencyJobs to take away.
	remove []*v1alpha1.LatencyJob
	// problems are the rows that cannot be measured as they stand, by id.
	problems map[string]string
	// orphans are those of them that have no LatencyJob, so that nobody else tells the technician.
	orphans map[string]bool
}

// note takes rows that the API server refuses, with the reasons.
func (p *plan) note(refused map[string]string) {
	for id, problem := range refused {
		p.problems[id], p.orphans[id] = problem, true
	}
}

// change is a LatencyJob as it should be.
type change struct {
	spec    v1alpha1.LatencyJobSpec
	problem string
	ranAt   string // when its row was seen to run, if whoever ended it has to be told
}

// compare says what to do about the running rows, as they were when they were asked for, and the LatencyJobs that exist:
//   - a row without its LatencyJob, or with one that differs, is applied;
//   - a row that no spec can be made of leaves its LatencyJob as it is, with a note;
//   - a running LatencyJob without its row is asked about;
//   - one whose row is known to be gone is removed, and so is one that has been final for ttl, unless its books are still open:
//     then its row is asked about, which may be gone;
//   - one made by hand is left alone.
func compare(rows []supabase.Job, jobs []*v1alpha1.LatencyJob, gone map[string]bool, asked time.Time, ttl time.Duration) plan {
	p := plan{problems: map[string]string{}, orphans: map[string]bool{}}
	existing := make(map[string]*v1alpha1.LatencyJob, len(jobs))
	for _, job := range jobs {
		existing[job.Name] = job
	}
	running := make(map[string]bool, len(rows))
	for i := range rows {
		row := &rows[i]
		running[row.ID] = true
		img := imageOf(row)
		if img.problem != "" {
			p.problems[row.ID] = img.problem
		}
		job := existing[row.ID]
		want := change{problem: img.problem}
		if job != nil {
			want.ranAt = runsAgain(job, asked)
		}
		switch {
		case img.spec != nil:
			want.spec = *img.spec
		case job != nil && isMirrored(job):
			want.spec = job.Spec
		default:
			p.orphans[row.ID] = true
			continue
		}
		if job == nil || differs(job, want) {
			p.apply = append(p.apply, want)
		}
	}
	for _, job := range jobs {
		if !running[job.Name] && isMirrored(job) && job.DeletionTimestamp.IsZero() {
			p.leave(job, gone[job.Name], asked, ttl)
		}
	}
	return p
}

// leave says what to do about a LatencyJob whose row is not among the running ones.
func (p *plan) leave(job *v1alpha1.LatencyJob, gone bool, now time.Time, ttl time.Duration) {
	switch {
	case gone:
		p.remove = append(p.remove, job)
	case job.Spec.State == v1alpha1.StateRunning:
		p.ask = append(p.ask, job)
	case !expired(job, now, ttl):
	case meta.IsStatusConditionTrue(job.Status.Conditions, v1alpha1.ConditionComplete):
		p.remove = append(p.remove, job)
	default:
		p.ask = append(p.ask, job)
	}
}

// expired tells whether a finished LatencyJob has been visible for long enough.
func expired(job *v1alpha1.LatencyJob, now time.Time, ttl time.Duration) bool {
	done := job.Status.CompletionTime
	return done != nil && isFinal(job.Status.Phase) && now.Sub(done.Time) >= ttl
}

// runsAgain is when the row of a LatencyJob that is over said that it runs, which is later than its end; empty if it is not
// over, or its row may have said so before.
func runsAgain(job *v1alpha1.LatencyJob, asked time.Time) string {
	done := job.Status.CompletionTime
	if done == nil || !isFinal(job.Status.Phase) || job.Spec.State != v1alpha1.StateRunning {
		return ""
	}
	least := done.Add(time.Second) // it is cut to seconds
	switch {
	case ranAt(job).After(least):
		return job.Annotations[v1alpha1.RanAtAnnotation]
	case asked.After(least):
		return asked.UTC().Format(time.RFC3339Nano)
	default:
		return ""
	}
}

// ranAt is when the sync controller saw that the row of a job runs that was over; zero where it did not.
func ranAt(job *v1alpha1.LatencyJob) time.Time {
	at, err := time.Parse(time.RFC3339Nano, job.Annotations[v1alpha1.RanAtAnnotation])
	if err != nil {
		return time.Time{}
	}
	return at
}

func isMirrored(job *v1alpha1.LatencyJob) bool {
	return job.Labels[v1alpha1.MirroredLabel] == v1alpha1.MirroredValue
}

// differs tells whether a LatencyJob is not as it should be. What is the user's is not looked at.
func differs(job *v1alpha1.LatencyJob, want change) bool {
	spec := job.Spec
	spec.Suspend = nil
	want.spec.Suspend = nil
	sameTime := spec.StartedAt.Equal(&want.spec.StartedAt)
	spec.StartedAt = want.spec.StartedAt
	return !sameTime || spec != want.spec || !isMirrored(job) || job.Annotations[v1alpha1.RowProblemAnnotation] != want.problem ||
		want.ranAt != "" && job.Annotations[v1alpha1.RanAtAnnotation] != want.ranAt
}

// verdict is what an answer about LatencyJobs whose row left the running ones calls for.
type verdict struct {
	apply  []change
	remove []*v1alpha1.LatencyJob
	// open lists those whose row was not in the answer.
	open []*v1alpha1.LatencyJob
	// proven says that the answer held a row, so that it is worth something: under row-level security, with a wrong key or
	// in an outage it would be empty.
	proven bool
}

// judge reads the answer to a question for the rows of some LatencyJobs and of a witness, a row that is known to exist:
//   - a row that ended in the app ends its LatencyJob;
//   - one that is simulated by now is no longer ours;
//   - one that runs was only missed by the list before.
func judge(asked []*v1alpha1.LatencyJob, answer []supabase.Job) verdict {
	rows := make(map[string]*supabase.Job, len(answer))
	for i := range answer {
		rows[answer[i].ID] = &answer[i]
	}
	v := verdict{proven: len(answer) > 0}
	for _, job := range asked {
		row := rows[job.Name]
		switch {
		case row == nil:
			v.open = append(v.open, job)
		case row.Mode != "real_polling":
			v.remove = append(v.remove, job)
		case row.Status != "running":
			spec := job.Spec
			spec.State = v1alpha1.StateFailed // what says something unknown does not run
			if state, ok := stateOf(row.Status); ok {
				spec.State = state
			}
			v.apply = append(v.apply, change{spec: spec})
		}
	}
	return v
}
