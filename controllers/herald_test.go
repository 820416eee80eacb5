package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

func TestTroublesAreNamed(t *testing.T) {
	refused := &supabase.Error{Op: "list_jobs", Status: 401, Message: "Invalid API key"}
	for name, tc := range map[string]struct {
		symptoms symptoms
		want     map[string]string // a part of the message by reason
	}{
		"all is well":  {},
		"sync refused": {symptoms{sync: fmt.Errorf("list: %w", refused)}, map[string]string{EventKeyRefused: "Invalid API key"}},
		"the API server is no trouble of Supabase's": {symptoms{sync: errors.New("apply: connection refused")}, nil},
		"samples cannot be delivered":                {symptoms{outbox: outbox.Trouble{Class: supabase.Unavailable, Message: "no answer"}}, map[string]string{EventSupabaseUnavailable: "no answer"}},
		"a migration is missing":                     {symptoms{outbox: outbox.Trouble{Class: supabase.SchemaNotReady, Message: "no column"}}, map[string]string{EventSchemaNotReady: "no column"}},
		"the key's file is gone":                     {symptoms{keyErr: errors.New("KEY: no such file")}, map[string]string{EventKeyRefused: "no such file"}},
		"anon key":                                   {symptoms{key: supabase.KeyInfo{Kind: "jwt", Role: "anon"}}, map[string]string{EventKeyRefused: "role anon"}},
		"expired key":                                {symptoms{key: supabase.KeyInfo{Kind: "jwt", Role: "service_role", Expires: start}}, map[string]string{EventKeyRefused: "expired"}},
		"a plain database":                           {symptoms{schema: &supabase.Schema{}}, map[string]string{EventSchemaIncomplete: "a sample may be stored twice: apply the migrations"}},
		"the disk is full":                           {symptoms{spool: spoolTrouble(nil, "no space left")}, map[string]string{EventSpoolUnavailable: "no space left"}},
		"no folder":                                  {symptoms{spool: spoolTrouble(errors.New("permission denied"), "")}, map[string]string{EventSpoolUnavailable: "kept in memory and would be lost with this process: permission denied"}},
		"SpreeDB":                                    {symptoms{spreedb: "SpreeDB cannot measure"}, map[string]string{EventSpreeDBUnavailable: "cannot measure"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := troubles(tc.symptoms, start)
			if len(got) != len(tc.want) {
				t.Errorf("got %v", got)
			}
			for reason, part := range tc.want {
				if !strings.Contains(got[reason], part) {
					t.Errorf("%s says %q, want %q", reason, got[reason], part)
				}
			}
		})
	}
}

func TestEveryTroubleIsListedWhetherItIsThereOrNot(t *testing.T) {
	h := &Herald{raised: map[string]string{EventKeyRefused: "expired"}}
	want := map[string]bool{
		EventKeyRefused: true, EventSchemaIncomplete: false, EventSchemaNotReady: false, EventSpoolUnavailable: false,
		EventSpreeDBUnavailable: false, EventSupabaseUnavailable: false,
	}
	if diff := cmp.Diff(want, h.Troubles()); diff != "" {
		t.Error(diff)
	}
}

func TestSpreeDBIsAwayWhenAllPollsFailForAWhile(t *testing.T) {
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	var p PollHealth
	for second := range 5 {
		p.Note(sample.SystemError, "connection refused", at(second))
	}
	if away := p.Away(at(4)); away != "" {
		t.Errorf("too early: %s", away)
	}
	if away := p.Away(at(5)); !strings.Contains(away, "connection refused") {
		t.Errorf("got %q", away)
	}
	if away := p.Away(at(65)); away != "" {
		t.Errorf("nobody has asked for a minute, and yet: %s", away)
	}
	p.Note(sample.Missed, "", at(6))
	if away := p.Away(at(7)); away != "" {
		t.Errorf("it answers, and yet: %s", away)
	}
}
