package main

import (
	"context"
	"net/http"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// The reasons for which a slot may have no sample.
const (
	operatorDown = "OperatorDown"
	busy         = "Busy"
	suspended    = "Suspended"
	lost         = "Lost"
)

// whileStarting are the reasons of slots that came due while no operator ran, or while one had just started: its first polls
// are late, and may still run when the next slot comes due.
var whileStarting = []string{operatorDown, busy}

// area is what a fault spoils. Two faults of one area are not played at once.
type area string

// The areas. A fault of apart is never played together with another.
const (
	supabase area = "Supabase"
	process  area = "process"
	cluster  area = "cluster"
	spreeDB  area = "SpreeDB"
	app      area = "app"
	apart    area = "apart"
)

// fault is something that goes wrong, or that somebody does.
type fault struct {
	name string
	// does is what is played, in a few words.
	does string
	area area
	// hold is how long it lasts, at least.
	hold time.Duration
	// inject begins it, and may take its time.
	inject func(context.Context, *rig) (*effect, error)
	// explains are the reasons for which slots may be without a sample because of it. Most faults explain none: measuring
	// goes on.
	explains []string
	// destroys says that it destroys samples that the operator held, for real. What it destroyed must be told as a gap.
	destroys bool
}

// effect is a fault that was injected.
type effect struct {
	// heal ends it; nil when it has ended by itself.
	heal func(context.Context) error
	// felt tells how often it happened to the operator. It is asked before heal, and again after.
	felt func(context.Context) (int, error)
	// of is the one job that it concerns; nil means all of them.
	of *job
}

// faults are played in this order.
func faults() []fault {
	return []fault{
		{name: "supabase-refused", does: "Supabase refuses connections", area: supabase, hold: 6 * time.Second, inject: cutSupabase},
		{name: "supabase-reset", does: "Supabase resets connections", area: supabase, hold: 4 * time.Second, inject: answer(supabasetest.Fault{Reset: true})},
		{name: "supabase-hang", does: "Supabase takes requests and never answers", area: supabase, hold: 6 * time.Second, inject: answer(supabasetest.Fault{Hang: true})},
		{name: "supabase-slow", does: "each answer of Supabase takes 3 s", area: supabase, hold: 7 * time.Second, inject: answer(supabasetest.Fault{Delay: 3 * time.Second})},
		{name: "supabase-5xx-html", does: "a page of HTML with status 520", area: supabase, hold: 4 * time.Second, inject: answer(supabasetest.Fault{Status: 520, ContentType: "text/html", Body: "<html><body><h1>Web server is returning an unknown error</h1></body></html>"})},
		{name: "supabase-no-body", does: "status 503 without a body", area: supabase, hold: 3 * time.Second, inject: answer(supabasetest.Fault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"1"}}})},
		{name: "supabase-null-body", does: "status 500 with the body null", area: supabase, hold: 3 * time.Second, inject: answer(supabasetest.Fault{Status: http.StatusInternalServerError, ContentType: "application/json", Body: "null"})},
		{name: "supabase-pool-timeout", does: "PGRST003, no connection in the pool", area: supabase, hold: 4 * time.Second, inject: answer(supabasetest.Fault{Status: http.StatusGatewayTimeout, ContentType: "application/json",
			Body: `{"code":"PGRST003","details":null,"hint":null,"message":"Timed out acquiring connection from connection pool."}`})},
		{name: "supabase-too-large", does: "57014 for each batch of more than 20 samples", area: supabase, hold: 5 * time.Second, inject: refuseLargeBatches},
		{name: "supabase-paused", does: "status 540, the project is paused", area: supabase, hold: 4 * time.Second, inject: answer(supabasetest.Fault{Status: 540, ContentType: "application/json", Body: `{"message":"Project paused"}`})},
		{name: "answer-lost", does: "what is written is committed, and the answer lost", area: supabase, hold: 5 * time.Second, inject: loseAnswers},
		{name: "empty-answers", does: "every list of jobs is empty", area: supabase, hold: 6 * time.Second, inject: emptyLists},
		{name: "key-revoked", does: "401, then another key in the file", area: supabase, hold: 5 * time.Second, inject: revokeKey},
		{name: "read-only", does: "25006, the database takes no writes", area: supabase, hold: 5 * time.Second, inject: makeReadOnly},
		{name: "postgres-killed", does: "PostgreSQL crashes and recovers", area: apart, hold: 3 * time.Second, inject: crashPostgres},
		{name: "index-missing", does: "42P10, the unique index is gone until somebody migrates", area: supabase, hold: 5 * time.Second, inject: dropIndex},
		{name: "poison-row", does: "23514 for a third of the samples of one job", area: supabase, hold: 6 * time.Second, inject: poisonJob, explains: []string{lost}},

		{name: "sigkill", does: "the operator is killed three times", area: process, inject: killThrice, explains: whileStarting},
		{name: "sigkill-in-outage", does: "the same while Supabase is away", area: process, inject: killInOutage, explains: whileStarting},
		{name: "sigterm", does: "the operator is stopped and started again, as in an update", area: process, inject: restartOperator, explains: whileStarting},
		{name: "two-managers", does: "two operators at once, then the first is killed", area: apart, hold: 8 * time.Second, inject: runTwo, explains: whileStarting},
		{name: "sigstop", does: "the operator is frozen for longer than its lease lasts", area: process, inject: freeze(17 * time.Second), explains: whileStarting},
		{name: "replica-kill", does: "one of two replicas is killed, and the other takes its jobs over", area: apart, inject: killReplica, explains: whileStarting},
		{name: "replica-drain", does: "replicas are replaced one by one, as in an update", area: apart, inject: drainReplicas},
		{name: "replica-partition", does: "one of two replicas cannot reach the API server, for longer than its lease lasts", area: apart, inject: cutOffReplica},
		{name: "disk-full", does: "no room for the spool while Supabase is away", area: apart, hold: 6 * time.Second, inject: fillDisk, explains: whileStarting},
		{name: "spool-torn", does: "killed in an outage, and the end of the spool is cut off", area: apart, inject: spoilSpool(tear), explains: append([]string{lost}, whileStarting...), destroys: true},
		{name: "spool-flipped", does: "killed in an outage, and a byte of the spool is another", area: apart, inject: spoilSpool(flip), explains: append([]string{lost}, whileStarting...), destroys: true},

		{name: "api-refused", does: "the API server refuses connections, for longer than the lease lasts", area: cluster, hold: 17 * time.Second, inject: cutAPIServer},
		{name: "api-hang", does: "the API server hangs", area: cluster, hold: 17 * time.Second, inject: hangAPIServer},

		{name: "spreedb-away", does: "SpreeDB refuses connections", area: spreeDB, hold: 5 * time.Second, inject: cutSpreeDB, explains: []string{busy}},
		{name: "spreedb-slow", does: "SpreeDB takes 1.5 s for each answer", area: spreeDB, hold: 6 * time.Second, inject: breakSpreeDB(spreedbtest.Slow(1500 * time.Millisecond)), explains: []string{busy}},
		{name: "spreedb-hang", does: "SpreeDB never answers", area: spreeDB, hold: 5 * time.Second, inject: breakSpreeDB(spreedbtest.Hanging()), explains: []string{busy}},
		{name: "spreedb-garbage", does: "SpreeDB answers with a page of HTML", area: spreeDB, hold: 4 * time.Second, inject: breakSpreeDB(spreedbtest.Garbage())},
		{name: "spreedb-truncated", does: "SpreeDB hangs up in the middle of its answer", area: spreeDB, hold: 4 * time.Second, inject: breakSpreeDB(spreedbtest.Truncated())},

		{name: "edit", does: "cadence and duration are changed, both ways", area: app, inject: editJob, explains: []string{operatorDown}},
		{name: "suspend", does: "a LatencyJob is suspended and resumed", area: app, hold: 5 * time.Second, inject: suspendJob, explains: []string{suspended}},
		{name: "cancel", does: "a job is cancelled", area: app, inject: cancelJob},
		{name: "restart", does: "a job is completed and started again in the app", area: app, inject: restartJob},
		{name: "latencyjob-deleted", does: "a LatencyJob is deleted by hand", area: app, hold: time.Second, inject: deleteLatencyJob, explains: []string{operatorDown}},
		{name: "row-deleted", does: "a row of jobs is deleted", area: app, inject: deleteRow},
	}
}
