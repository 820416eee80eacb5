package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

// isID tells whether a text is the whole id of a job.
func isID(text string) bool { return len(text) == 36 && uuid.Validate(text) == nil }

// pick finds the job that a text names: the whole id, the beginning of one, or a target whose newest job it is. It is nil for a
// whole id that is none of the jobs: the database may well know it.
func pick(jobs []v1alpha1.LatencyJob, text, namespace string) (*v1alpha1.LatencyJob, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	address, _ := netip.ParseAddr(text)
	var found *v1alpha1.LatencyJob
	var beginnings []string
	for i := range jobs {
		job := &jobs[i]
		switch target, err := netip.ParseAddr(job.Spec.TargetIP); {
		case job.Name == text:
			return job, nil
		case address.IsValid() && err == nil && target.Unmap() == address.Unmap():
			if found == nil || found.Spec.StartedAt.Before(&job.Spec.StartedAt) {
				found = job
			}
		case !address.IsValid() && text != "" && strings.HasPrefix(job.Name, text):
			found = job
			beginnings = append(beginnings, job.Name+" ("+describe(job)+")")
		}
	}
	switch {
	case len(beginnings) > 1:
		return nil, fmt.Errorf("%d jobs begin with %q: give more of the id. They are %s", len(beginnings), text, some(beginnings, 5))
	case found != nil || isID(text):
		return found, nil
	case address.IsValid():
		return nil, fmt.Errorf("there is no job for %s in the namespace %s: see %s list; a job that ended more than a day ago is found by its whole id", address, namespace, program)
	default:
		return nil, fmt.Errorf("there is no job %q in the namespace %s: give an id, the beginning of one, or the IP address of a modem; see %s list", text, namespace, program)
	}
}

func some(texts []string, most int) string {
	if len(texts) <= most {
		return strings.Join(texts, ", ")
	}
	return strings.Join(texts[:most], ", ") + fmt.Sprintf(" and %d more", len(texts)-most)
}

// describe says in short what a job is.
func describe(job *v1alpha1.LatencyJob) string {
	target, phase := job.Spec.TargetIP, string(job.Status.Phase)
	if target == "" {
		target = "no target"
	}
	if phase == "" {
		phase = string(job.Spec.State)
	}
	return target + ", " + phase
}

// completeJobs completes ids and targets.
func (c *cli) completeJobs(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		list, _, err := c.cluster.list(ctx)
		if err != nil {
			cobra.CompDebugln(err.Error(), true)
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		targets := map[string]bool{}
		for i := range list.Items {
			job := &list.Items[i]
			if strings.HasPrefix(job.Name, begun) {
				out = append(out, cobra.CompletionWithDesc(job.Name, describe(job)))
			}
			if target := job.Spec.TargetIP; begun != "" && strings.HasPrefix(target, begun) && !targets[target] {
				targets[target] = true
				out = append(out, cobra.CompletionWithDesc(target, "its newest job"))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
