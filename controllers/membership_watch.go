package controllers

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// follow keeps up what is known of the Leases, until ctx ends.
func (m *Membership) follow(ctx context.Context) {
	failed := false
	repeat(ctx, m.clock, tryAgainAfter, func(ctx context.Context) {
		err := m.listen(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			m.log.Error(err, "Could not see who shares the jobs; that stays as it is")
		}
		failed = err != nil
	})
}

// listen learns which Leases there are, and then what changes, until the API server says nothing any more.
func (m *Membership) listen(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	version, err := m.list(ctx)
	if err != nil {
		return err
	}
	changes, err := m.watch(ctx, cancel, version)
	if err != nil {
		return fmt.Errorf("watch the Leases: %w", err)
	}
	defer changes.Stop()
	for m.receive(ctx, changes) {
	}
	return nil
}

// watch asks for what changes after a version. An answer may go on for as long as it likes, but it has to begin soon.
func (m *Membership) watch(ctx context.Context, cancel context.CancelFunc, version string) (watch.Interface, error) {
	soon, over := context.WithTimeout(ctx, requestTimeout)
	defer over()
	began := context.AfterFunc(soon, cancel)
	defer began()
	return m.leases.Watch(ctx, metav1.ListOptions{LabelSelector: MemberLabel + "=" + MemberValue, ResourceVersion: version})
}

// list takes note of all Leases, and gives the version that they have.
func (m *Membership) list(ctx context.Context) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := m.leases.List(ctx, metav1.ListOptions{LabelSelector: MemberLabel + "=" + MemberValue})
	if err != nil {
		return "", fmt.Errorf("list the Leases: %w", err)
	}
	m.mu.Lock()
	now := m.clock.Now()
	first := m.peers.heard.IsZero()
	m.peers.hear(now)
	there := map[string]bool{}
	for i := range list.Items {
		lease := &list.Items[i]
		there[identityOf(lease)] = true
		changed := now
		if first {
			// What was not renewed for long is not of the living: else its jobs would be nobody's until that has shown. By how
			// much the clocks are apart, it may be: then the next renewal puts it right.
			changed = earliest(now, later(renewedAt(lease), now.Add(-deadAfter)))
		}
		m.note(lease, changed)
	}
	for id := range m.peers.all {
		if !there[id] && id != m.identity {
			m.peers.lose(id, now)
		}
	}
	m.mu.Unlock()
	if first {
		close(m.known)
	}
	m.look.give()
	return list.ResourceVersion, nil
}

// note takes note of a Lease. Of ours we know from writing it. The caller holds mu.
func (m *Membership) note(lease *coordinationv1.Lease, changed time.Time) {
	if id := identityOf(lease); id != "" && id != m.identity {
		m.peers.see(id, peerOf(lease, changed))
	}
}

// receive takes note of one change, and tells whether more can come. Our own renewals are among them: a silence says that they do
// not get through, or that the watch is dead, of which nobody else would tell.
func (m *Membership) receive(ctx context.Context, changes watch.Interface) bool {
	silence := m.clock.NewTimer(staleAfter)
	defer silence.Stop()
	var change watch.Event
	var open bool
	select {
	case <-ctx.Done():
		return false
	case <-silence.C():
		return false
	case change, open = <-changes.ResultChan():
	}
	lease, ok := change.Object.(*coordinationv1.Lease)
	if !open || !ok {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.Now()
	m.peers.hear(now)
	switch id := identityOf(lease); {
	case change.Type != watch.Deleted:
		m.note(lease, now)
	case id != m.identity:
		m.peers.lose(id, now)
	}
	m.look.give()
	return true
}
