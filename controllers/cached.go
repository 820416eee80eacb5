package controllers

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"unique"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

// Cached is the LatencyJobs of a namespace in the manager's cache, as they lie there: whoever has one must not change it. The
// client would copy one for each decision, and all of them for a comparison, which is tens of megabytes in a large installation.
type Cached struct {
	cache     cache.Cache
	namespace string
	store     atomic.Pointer[toolscache.Store]
}

// NewCached gives the LatencyJobs in a cache that is restricted to the namespace by a field selector, if at all.
func NewCached(c cache.Cache, namespace string) *Cached {
	return &Cached{cache: c, namespace: namespace}
}

// Get gives the LatencyJob with a name; nil when there is none.
func (c *Cached) Get(ctx context.Context, name string) (*v1alpha1.LatencyJob, error) {
	store, err := c.jobs(ctx)
	if err != nil {
		return nil, err
	}
	found, exists, err := store.GetByKey(c.namespace + "/" + name)
	if err != nil || !exists {
		return nil, err
	}
	return found.(*v1alpha1.LatencyJob), nil
}

// Each hands over every LatencyJob.
func (c *Cached) Each(ctx context.Context, do func(*v1alpha1.LatencyJob)) error {
	store, err := c.jobs(ctx)
	if err != nil {
		return err
	}
	for _, job := range store.List() {
		do(job.(*v1alpha1.LatencyJob))
	}
	return nil
}

// jobs is where they lie, once the cache is filled.
func (c *Cached) jobs(ctx context.Context) (toolscache.Store, error) {
	if store := c.store.Load(); store != nil {
		return *store, nil
	}
	informer, err := c.cache.GetInformer(ctx, &v1alpha1.LatencyJob{})
	if err != nil {
		return nil, fmt.Errorf("look into the cache of LatencyJobs: %w", err)
	}
	shared, ok := informer.(toolscache.SharedIndexInformer)
	if !ok { // of a cache that is restricted by DefaultNamespaces: use a field selector in its place
		return nil, fmt.Errorf("look into the cache of LatencyJobs: a %T cannot be looked into", informer)
	}
	store := shared.GetStore()
	c.store.Store(&store)
	return store, nil
}

// mirroredLabels are the labels of nearly every LatencyJob. It must not be changed.
var mirroredLabels = map[string]string{v1alpha1.MirroredLabel: v1alpha1.MirroredValue}

var stripManagedFields = cache.TransformStripManagedFields()

// Slim is the transform of the cache: it leaves out what nobody here reads, and has LatencyJobs share what is the same in
// thousands of them, which is about a kilobyte of each.
func Slim(obj any) (any, error) {
	obj, err := stripManagedFields(obj)
	job, ok := obj.(*v1alpha1.LatencyJob)
	if err != nil || !ok {
		return obj, err
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
	if r := job.Status.Report; r != nil {
		r.Verdict, r.Message = same(r.Verdict), same(r.Message)
	}
	for i := range job.Status.Conditions {
		c := &job.Status.Conditions[i]
		c.Type, c.Status, c.Reason, c.Message = same(c.Type), same(c.Status), same(c.Reason), same(c.Message)
	}
	return job, nil
}

// same is an equal string that all share.
func same[S ~string](s S) S { return unique.Make(s).Value() }
