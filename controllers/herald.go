package controllers

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// The reasons of the events on the operator's own pod: what hits every job at once is told once, here.
const (
	// EventSupabaseUnavailable: Supabase does not answer, or with an error that may pass.
	EventSupabaseUnavailable = "SupabaseUnavailable"
	// EventKeyRefused: Supabase refuses the key, or what the key says about itself cannot work.
	EventKeyRefused = "KeyRefused"
	// EventSchemaNotReady: the database lacks something without which nothing works.
	EventSchemaNotReady = "SchemaNotReady"
	// EventSchemaIncomplete: the database lacks columns that the operator can do without.
	EventSchemaIncomplete = "SchemaIncomplete"
	// EventSpreeDBUnavailable: no poll of any job can be made.
	EventSpreeDBUnavailable = "SpreeDBUnavailable"
	// EventSpoolUnavailable: samples cannot be kept on disk.
	EventSpoolUnavailable = "SpoolUnavailable"
	// EventRecovered: one of the above is over; the note says which.
	EventRecovered = "Recovered"
)

// KeyChecker describes the Supabase key.
type KeyChecker interface {
	Info() (supabase.KeyInfo, error)
}

// SchemaHolder knows what the database has; nil before it has answered.
type SchemaHolder interface {
	Schema() *supabase.Schema
}

// Herald tells what is wrong with the operator's surroundings: in the log, as an event on its pod, and to whoever asks. It
// is a Runnable of the manager.
type Herald struct {
	Clock  clock.Clock
	Log    logr.Logger
	Key    KeyChecker
	Schema SchemaHolder
	Outbox interface{ Status() outbox.Status }
	// Spool is why there is none; nil when there is one.
	Spool error
	Sync  interface{ LastError() error }
	Polls *PollHealth
	// Recorder takes the events, which are about Regarding.
	Recorder  events.EventRecorder
	Regarding runtime.Object
	// Every is how often it looks.
	Every time.Duration

	mu     sync.Mutex
	raised map[string]string // message by reason
}

// Start looks until ctx ends.
func (h *Herald) Start(ctx context.Context) error {
	repeat(ctx, h.Clock, h.Every, func(context.Context) { h.look() })
	return nil
}

// NeedLeaderElection says that every process tells its own troubles.
func (h *Herald) NeedLeaderElection() bool { return false }

// Message is everything that is wrong, in one line; empty when all is well.
func (h *Herald) Message() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, reason := range slices.Sorted(maps.Keys(h.raised)) {
		all = append(all, reason+": "+h.raised[reason])
	}
	return strings.Join(all, "; ")
}

// Raised tells whether a trouble was told and is not over.
func (h *Herald) Raised(reason string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, raised := h.raised[reason]
	return raised
}

// Troubles tells of every trouble that there can be, by the reason of its event, whether it was told and is not over.
func (h *Herald) Troubles() map[string]bool {
	all := map[string]bool{}
	for _, reason := range []string{EventSupabaseUnavailable, EventKeyRefused, EventSchemaNotReady, EventSchemaIncomplete, EventSpreeDBUnavailable, EventSpoolUnavailable} {
		all[reason] = h.Raised(reason)
	}
	return all
}

// look compares what is wrong now with what was told, and tells the difference.
func (h *Herald) look() {
	key, keyErr := h.Key.Info()
	box := h.Outbox.Status()
	now := troubles(symptoms{
		key: key, keyErr: keyErr, outbox: box.Trouble, spool: spoolTrouble(h.Spool, box.SpoolTrouble), sync: h.Sync.LastError(), schema: h.Schema.Schema(),
		spreedb: h.Polls.Away(h.Clock.Now()),
	}, h.Clock.Now())
	h.mu.Lock()
	before := h.raised
	h.raised = now
	h.mu.Unlock()
	for _, reason := range slices.Sorted(maps.Keys(now)) {
		if _, known := before[reason]; !known {
			h.Log.Error(nil, "Trouble", "reason", reason, "message", now[reason])
			h.Recorder.Eventf(h.Regarding, nil, corev1.EventTypeWarning, reason, "Operate", "%s", clip(now[reason], 900))
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(before)) {
		if _, still := now[reason]; !still {
			h.Log.Info("Trouble is over", "reason", reason)
			h.Recorder.Eventf(h.Regarding, nil, corev1.EventTypeNormal, EventRecovered, "Operate", "%s is over", reason)
		}
	}
}

// symptoms is everything that troubles are recognised by.
type symptoms struct {
	key     supabase.KeyInfo
	keyErr  error
	outbox  outbox.Trouble
	spool   string
	sync    error
	schema  *supabase.Schema
	spreedb string
}

// troubles names what is wrong, as a message by reason.
func troubles(s symptoms, now time.Time) map[string]string {
	found := map[string]string{}
	for _, t := range []outbox.Trouble{s.outbox, troubleOf(s.sync)} {
		if reason := eventReason(t.Class); reason != "" {
			found[reason] = t.Message
		}
	}
	if s.keyErr != nil {
		found[EventKeyRefused] = s.keyErr.Error()
	}
	if problem := s.key.Problem(now); problem != "" {
		found[EventKeyRefused] = problem
	}
	if s.schema != nil {
		if lacks := s.schema.Lacks(); lacks != "" {
			found[EventSchemaIncomplete] = lacks
		}
	}
	if s.spool != "" {
		found[EventSpoolUnavailable] = s.spool
	}
	if s.spreedb != "" {
		found[EventSpreeDBUnavailable] = s.spreedb
	}
	return found
}

func spoolTrouble(none error, broken string) string {
	if none != nil {
		return "there is no folder for unsent samples, so that they are kept in memory and would be lost with this process: " + none.Error()
	}
	return broken
}

func troubleOf(err error) outbox.Trouble {
	var answer *supabase.Error
	if !errors.As(err, &answer) {
		return outbox.Trouble{} // of the API server: controller-runtime logs it
	}
	return outbox.Trouble{Class: supabase.Classify(answer), Message: answer.Error()}
}

func eventReason(c supabase.Class) string {
	switch c {
	case supabase.OK:
		return ""
	case supabase.KeyRefused:
		return EventKeyRefused
	case supabase.SchemaNotReady:
		return EventSchemaNotReady
	default:
		return EventSupabaseUnavailable
	}
}

// deliveryOf puts the outbox's trouble into the words of the Delivered condition.
func deliveryOf(t outbox.Trouble) Delivery {
	switch eventReason(t.Class) {
	case "":
		return Delivery{Reason: v1alpha1.ReasonUpToDate}
	case EventKeyRefused:
		return Delivery{v1alpha1.ReasonKeyRefused, "Supabase refuses the operator's key; samples are kept and sent once it is renewed"}
	case EventSchemaNotReady:
		return Delivery{v1alpha1.ReasonSchemaNotReady, "The database lacks a migration of the operator; samples are kept and sent once it is applied"}
	default:
		return Delivery{v1alpha1.ReasonSupabaseUnavailable, "Supabase does not take samples; they are kept and sent once it does"}
	}
}

const (
	// awayAfter is how long polls must have failed, all of them, until SpreeDB counts as away.
	awayAfter = 5 * time.Second
	// awayPolls is how many must have failed in a row meanwhile.
	awayPolls = 3
	// awayFor is how long the last of them counts: without polls nobody knows.
	awayFor = time.Minute
)

// PollHealth watches whether SpreeDB measures for anybody. It is safe for concurrent use.
type PollHealth struct {
	mu          sync.Mutex
	errors      int
	since, last time.Time
	message     string
}

// Note takes the outcome of a poll of any job.
func (p *PollHealth) Note(status sample.Status, message string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if status != sample.SystemError {
		p.errors = 0
		return
	}
	if p.errors == 0 {
		p.since = now
	}
	p.errors++
	p.last, p.message = now, message
}

// Away says why SpreeDB counts as away; empty when it does not.
func (p *PollHealth) Away(now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.errors < awayPolls || now.Sub(p.since) < awayAfter || now.Sub(p.last) > awayFor {
		return ""
	}
	return "SpreeDB cannot measure for any job: " + p.message
}
