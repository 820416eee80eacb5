package controllers

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Priorities in the queues: what people wait for goes before what merely keeps up.
const (
	routine = 0
	urgent  = 10
)

// bell wakes a controller from outside: it is one of the controller's sources and puts keys into its queue. Keys rung
// before the controller has started are kept for it.
type bell struct {
	namespace string

	mu    sync.Mutex
	queue priorityqueue.PriorityQueue[reconcile.Request]
	early []string
}

// source is what the controller watches.
func (b *bell) source() source.Source {
	return source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.queue, _ = q.(priorityqueue.PriorityQueue[reconcile.Request])
		for _, name := range b.early {
			b.add(name, routine)
		}
		b.early = nil
		return nil
	})
}

// ring puts a LatencyJob into the queue now.
func (b *bell) ring(name string, priority int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue == nil {
		b.early = append(b.early, name)
		return
	}
	b.add(name, priority)
}

// unmetered makes the queue of a controller that every job goes through all the time. It has no metrics of its own: they would
// be a twentieth of the cost of a poll, and of the memory of a job, to say that each job waits for its next slot.
func unmetered(_ string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return priorityqueue.New("", func(o *priorityqueue.Opts[reconcile.Request]) { o.RateLimiter = limiter })
}

func (b *bell) add(name string, priority int) {
	key := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: b.namespace, Name: name}}
	b.queue.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, key)
}
