package controllers

import (
	"context"
	"fmt"
	"maps"
	"unique"

	"k8s.io/apimachinery/pkg/api/meta"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

// Cached is the LatencyJobs in the manager's cache. A List would copy all of them, which is tens of megabytes for a large
// installation.
type Cached struct{ cache.Cache }

// Each hands over every LatencyJob, which must not be changed.
func (c Cached) Each(ctx context.Context, do func(*v1alpha1.LatencyJob)) error {
	informer, err := c.GetInformer(ctx, &v1alpha1.LatencyJob{})
	if err != nil {
		return fmt.Errorf("list the LatencyJobs: %w", err)
	}
	shared, ok := informer.(toolscache.SharedIndexInformer)
	if !ok { // of a cache that is restricted by DefaultNamespaces: use a field selector in its place
		return fmt.Errorf("list the LatencyJobs: the cache has a %T, which cannot be walked over", informer)
	}
	for _, job := range shared.GetStore().List() {
		do(job.(*v1alpha1.LatencyJob))
	}
	return nil
}

// mirroredLabels are the labels of nearly every LatencyJob. It must not be changed.
var mirroredLabels = map[string]string{v1alpha1.MirroredLabel: v1alpha1.MirroredValue}

// Slim is the transform of the cache: it leaves out what nobody here reads, and has LatencyJobs share what is the same in
// thousands of them, which is about a kilobyte of each.
func Slim(obj any) (any, error) {
	if accessor, err := meta.Accessor(obj); err == nil {
		accessor.SetManagedFields(nil)
	}
	job, ok := obj.(*v1alpha1.LatencyJob)
	if !ok {
		return obj, nil
	}
	if maps.Equal(job.Labels, mirroredLabels) {
		job.Labels = mirroredLabels
	}
	job.Namespace, job.APIVersion, job.Kind = same(job.Namespace), same(job.APIVersion), same(job.Kind)
	if job.Spec.JobID == job.Name {
		job.Spec.JobID = job.Name
	}
	job.Spec.State = same(job.Spec.State)
	job.Status.Phase, job.Status.Message = same(job.Status.Phase), same(job.Status.Message)
	for i := range job.Status.Conditions {
		c := &job.Status.Conditions[i]
		c.Type, c.Status, c.Reason, c.Message = same(c.Type), same(c.Status), same(c.Reason), same(c.Message)
	}
	return job, nil
}

// same is an equal string that all share.
func same[S ~string](s S) S { return unique.Make(s).Value() }
