package spreedb

import (
	"slices"
	"sync"

	"k8s.io/utils/clock"
)

// idle holds the connections that no poll uses, at most idleConns. The one that was used last is used next, so that those
// which the load no longer needs grow old and are closed after idleTimeout.
type idle struct {
	clock clock.WithDelayedExecution

	mu      sync.Mutex
	conns   []*conn // the oldest first
	watched bool    // a timer for the oldest is running
}

// take is nil if there is no connection that can still be used.
func (i *idle) take() *conn {
	for {
		c := i.newest()
		if c == nil || c.quiet() {
			return c
		}
		c.hangUp()
	}
}

func (i *idle) newest() *conn {
	i.mu.Lock()
	defer i.mu.Unlock()
	last := len(i.conns) - 1
	if last < 0 {
		return nil
	}
	c := i.conns[last]
	i.conns[last] = nil
	i.conns = i.conns[:last]
	return c
}

func (i *idle) put(c *conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.conns) == idleConns {
		c.hangUp()
		return
	}
	c.unused = i.clock.Now()
	i.conns = append(i.conns, c)
	i.watch()
}

// watch sees to it that the oldest is closed in time, also when nobody polls any more. The caller holds mu.
func (i *idle) watch() {
	if !i.watched && len(i.conns) > 0 {
		i.watched = true
		i.clock.AfterFunc(idleTimeout-i.clock.Since(i.conns[0].unused), i.closeOld)
	}
}

func (i *idle) closeOld() {
	for _, c := range i.old() {
		c.hangUp()
	}
}

// old removes those that have been unused for too long.
func (i *idle) old() []*conn {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for n < len(i.conns) && i.clock.Since(i.conns[n].unused) >= idleTimeout {
		n++
	}
	old := slices.Clone(i.conns[:n])
	i.conns = slices.Delete(i.conns, 0, n)
	i.watched = false
	i.watch()
	return old
}
