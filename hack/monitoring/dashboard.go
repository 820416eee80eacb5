package main

import "strings"

// panel answers one question. It is drawn by Grafana and by the console of OpenShift.
type panel struct {
	title string
	// question is what the panel answers; Grafana shows it, the console has no place for it.
	question string
	unit     string
	queries  []query
	// stat shows the newest value of the only query as a number, in a quarter of the width; else it is a graph over half of it.
	stat bool
	// stacked piles the series of a graph up.
	stacked bool
	// steps colour a number, from the lowest value on.
	steps []step
	// words stand for values of a number.
	words map[string]string
	// none stands where there is no value.
	none string
}

type query struct{ expr, legend string }

// step is from which value on a number has a colour.
type step struct {
	from   float64
	colour string
}

// section is a row of panels.
type section struct {
	title  string
	panels []panel
}

// Units, by the names that both Grafana and the console know.
const (
	inSeconds = "s"
	asCount   = "short"
	inBytes   = "bytes"
	asShare   = "percentunit"
)

const (
	green  = "green"
	orange = "orange"
	red    = "red"
)

// content is what an operator asks, in the order in which it is asked. OURS stands for the matcher of the chosen namespace,
// WINDOW for the time over which rates are taken.
func content() []section {
	all := []section{atAGlance(), measuring(), delivery(), database(), operator()}
	for s := range all {
		for p := range all[s].panels {
			for q := range all[s].panels[p].queries {
				expr := &all[s].panels[p].queries[q].expr
				*expr = strings.NewReplacer("OURS", `namespace="$namespace"`, "WINDOW", "$__rate_interval").Replace(*expr)
			}
		}
	}
	return all
}

func atAGlance() section {
	return section{"At a glance", []panel{
		{
			title: "Replicas", question: "Does the operator run? Without a replica nothing else here means anything.", unit: asCount, stat: true,
			queries: []query{{`count(soundcheck_build_info{OURS}) or vector(0)`, ""}},
			steps:   []step{{0, red}, {1, green}}, words: map[string]string{"0": "none"},
		}, {
			title: "Running jobs", question: "How many jobs are being measured?", unit: asCount, stat: true,
			queries: []query{{`sum(soundcheck_jobs{OURS, phase="Running"}) or 0 * count(soundcheck_build_info{OURS})`, ""}},
		}, {
			title: "Slots that are polled", question: "Is everything polled that is due? Empty without running jobs. Just after a restart or a start of jobs it is off by some per cent.", unit: asShare, stat: true,
			queries: []query{{`sum(rate(soundcheck_polls_total{OURS}[WINDOW])) / (sum(avg_over_time(soundcheck_slots_due_per_second{OURS}[WINDOW])) > 0)`, ""}},
			steps:   []step{{0, red}, {0.9, orange}, {0.97, green}}, none: "no jobs",
		}, {
			title: "Polls that failed", question: "What share of the polls of the last hour ended as system_error: SpreeDB was asked and could not measure?", unit: asShare, stat: true,
			queries: []query{{`sum(increase(soundcheck_polls_total{OURS, status="system_error"}[1h])) / (sum(increase(soundcheck_polls_total{OURS}[1h])) > 0)`, ""}},
			steps:   []step{{0, green}, {0.05, orange}, {0.25, red}}, none: "no polls",
		}, {
			title: "Slots lost within an hour", question: "How many slots of the last hour have no sample although nobody suspended the job and it had an address?", unit: asCount, stat: true,
			queries: []query{{`sum(` + withinAnHour(`soundcheck_slots_unmeasured_total{OURS, reason!~"Suspended|NoTarget"}`) + `)`, ""}},
			steps:   []step{{0, green}, {1, orange}},
		}, {
			title: "Oldest sample that waits", question: "How far is the database behind?", unit: inSeconds, stat: true,
			queries: []query{{`max(soundcheck_outbox_oldest_sample_age_seconds{OURS})`, ""}},
			steps:   []step{{0, green}, {60, orange}, {600, red}},
		}, {
			title: "Jobs table read", question: "How long ago were the jobs looked at that technicians start and cancel?", unit: inSeconds, stat: true,
			queries: []query{{`time() - (max(soundcheck_sync_last_success_timestamp_seconds{OURS}) > 0)`, ""}},
			steps:   []step{{0, green}, {60, orange}, {300, red}}, none: "never",
		}, {
			title: "Supabase key", question: "Does Supabase take the key?", unit: asCount, stat: true,
			queries: []query{{`min(soundcheck_supabase_key_info{OURS})`, ""}},
			steps:   []step{{0, red}, {1, green}}, words: map[string]string{"0": "refused", "1": "works"},
		},
	}}
}

func measuring() section {
	return section{"Measuring", []panel{
		{
			title: "Slots due and polled, per second", question: "Does polling keep up with what is due?", unit: asCount,
			queries: []query{
				{`sum(avg_over_time(soundcheck_slots_due_per_second{OURS}[WINDOW]))`, "due"},
				{`sum(rate(soundcheck_polls_total{OURS}[WINDOW]))`, "polled"},
			},
		}, {
			title: "Polls per second, by outcome", question: "What do the polls bring? missed is packet loss, system_error is not: SpreeDB could not measure.", unit: asCount, stacked: true,
			queries: []query{{`sum by (status) (rate(soundcheck_polls_total{OURS}[WINDOW]))`, "{{status}}"}},
		}, {
			title: "Slots without a sample per second, by reason", question: "What is not measured, and why?", unit: asCount, stacked: true,
			queries: []query{{`sum by (reason) (rate(soundcheck_slots_unmeasured_total{OURS, reason!="Lost"}[WINDOW]))`, "{{reason}}"}},
		}, {
			title: "How late slots are polled", question: "How long after their due times do polls begin?", unit: inSeconds,
			queries: quantiles("soundcheck_slot_lateness_seconds", "0.5", "0.99"),
		}, {
			title: "How long SpreeDB takes", question: "How long does SpreeDB take to answer a poll?", unit: inSeconds,
			queries: quantiles("soundcheck_poll_duration_seconds", "0.5", "0.9", "0.99"),
		}, {
			title: "Polls in flight, and jobs that wait for one", question: "Are the limits reached that protect SpreeDB?", unit: asCount,
			queries: []query{
				{`sum(soundcheck_polls_in_flight{OURS})`, "in flight"},
				{`sum(soundcheck_polls_waiting{OURS})`, "waiting"},
			},
		}, {
			title: "Jobs by phase", question: "What are the jobs doing?", unit: asCount, stacked: true,
			queries: []query{{`sum by (phase) (soundcheck_jobs{OURS})`, "{{phase}}"}},
		}, {
			title: "Age of the newest look at the jobs table", question: "Are jobs seen that technicians start and cancel?", unit: inSeconds,
			queries: []query{{`time() - (max(soundcheck_sync_last_success_timestamp_seconds{OURS}) > 0)`, "age"}},
		},
	}}
}

func delivery() section {
	return section{"Samples on their way to the database", []panel{
		{
			title: "Samples that wait", question: "How much does the database not have yet?", unit: asCount,
			queries: []query{{`sum by (pod) (soundcheck_outbox_samples{OURS})`, "{{pod}}"}},
		}, {
			title: "Age of the oldest sample that waits", question: "How far is the database behind?", unit: inSeconds,
			queries: []query{{`max by (pod) (soundcheck_outbox_oldest_sample_age_seconds{OURS})`, "{{pod}}"}},
		}, {
			title: "Disk that they take, of what they may take", question: "When is the queue full? Beyond 100 % the oldest samples are given up.", unit: asShare,
			queries: []query{{`max by (pod) (soundcheck_outbox_bytes{OURS} / soundcheck_outbox_limit_bytes{OURS})`, "{{pod}}"}},
		}, {
			title: "Samples stored per second", question: "What does the database take? Those it had already were sent again, or measured by two replicas.", unit: asCount,
			queries: []query{
				{`sum(rate(soundcheck_samples_stored_total{OURS}[WINDOW]))`, "stored"},
				{`sum(rate(soundcheck_samples_known_total{OURS}[WINDOW]))`, "had already"},
			},
		}, {
			title: "Samples lost in the last hour", question: "Was anything lost that had been measured? job_gone is no loss: somebody deleted the job.", unit: asCount, stacked: true,
			queries: []query{
				{`sum by (reason) (` + withinAnHour(`soundcheck_outbox_dropped_samples_total{OURS}`) + `)`, "given up: {{reason}}"},
				{`sum(` + withinAnHour(`soundcheck_samples_rejected_total{OURS}`) + `)`, "refused by the database"},
			},
		}, {
			title: "Rows that cannot be measured", question: "How many running rows of the jobs table have a mistake? Why is in their monitor_message. Empty while nobody reads the table.", unit: asCount,
			queries: []query{{`max(soundcheck_sync_invalid_rows{OURS} and on (namespace, pod, instance) time() - soundcheck_sync_last_success_timestamp_seconds{OURS} < 300)`, "rows"}},
		},
	}}
}

func database() section {
	return section{"Supabase", []panel{
		{
			title: "How long Supabase takes, 99th percentile", question: "Which operations are slow?", unit: inSeconds,
			queries: []query{{`histogram_quantile(0.99, sum by (operation, le) (rate(soundcheck_supabase_request_duration_seconds_bucket{OURS}[WINDOW]))) >= 0`, "{{operation}}"}},
		}, {
			title: "Requests per second, by answer", question: "What does Supabase answer? 0 is no answer.", unit: asCount, stacked: true,
			queries: []query{{`sum by (code) (rate(soundcheck_supabase_requests_total{OURS}[WINDOW]))`, "{{code}}"}},
		}, {
			title: "Requests that failed per second, by operation", question: "What does not work with Supabase?", unit: asCount, stacked: true,
			queries: []query{{`sum by (operation, code) (rate(soundcheck_supabase_requests_total{OURS, code!~"2.."}[WINDOW]))`, "{{operation}}: {{code}}"}},
		}, {
			title: "How far clocks are ahead of Supabase's", question: "Are the clocks of the nodes right? A second or two is how exactly that can be known.", unit: inSeconds,
			queries: []query{{`max by (pod) (soundcheck_clock_skew_seconds{OURS})`, "{{pod}}"}},
		}, {
			title: "Columns and tables that the database lacks", question: "Is a migration missing?", unit: asCount,
			queries: []query{{`max(soundcheck_schema_missing_columns{OURS})`, "missing"}},
		}, {
			title: "Time until the key expires", question: "When must the key be renewed? Empty for a secret key, which never has to be.", unit: inSeconds,
			queries: []query{{`min(soundcheck_supabase_key_expiry_timestamp_seconds{OURS}) - time()`, "left"}},
		},
	}}
}

func operator() section {
	return section{"The operator", []panel{
		{
			title: "Replicas", question: "Do all replicas run, and do they know of each other?", unit: asCount,
			queries: []query{
				{`count(soundcheck_build_info{OURS})`, "running"},
				{`max(soundcheck_replicas{OURS})`, "known to the one that knows most"},
				{`min(soundcheck_replicas{OURS})`, "known to the one that knows fewest"},
			},
		}, {
			title: "Replicas by version", question: "Which versions run?", unit: asCount, stacked: true,
			queries: []query{{`count by (version) (soundcheck_build_info{OURS})`, "{{version}}"}},
		}, {
			title: "Troubles", question: "What hits all jobs at once? The events on the pods say more.", unit: asCount, stacked: true,
			queries: []query{{`sum by (reason) (soundcheck_trouble{OURS})`, "{{reason}}"}},
		}, {
			title: "Requests to the API server per second, by answer", question: "Does the API server answer?", unit: asCount, stacked: true,
			queries: []query{{`sum by (code) (rate(rest_client_requests_total{OURS}[WINDOW]) and on (namespace, pod, instance) soundcheck_build_info)`, "{{code}}"}},
		}, {
			title: "CPU", question: "How many cores does a replica use?", unit: asCount,
			queries: []query{{`sum by (pod) (rate(process_cpu_seconds_total{OURS}[WINDOW]) and on (namespace, pod, instance) soundcheck_build_info)`, "{{pod}}"}},
		}, {
			title: "Memory", question: "How much memory does a replica use?", unit: inBytes,
			queries: []query{{`sum by (pod) (process_resident_memory_bytes{OURS} and on (namespace, pod, instance) soundcheck_build_info)`, "{{pod}}"}},
		},
	}}
}

// withinAnHour is by how much a counter grew in the last hour. What a process counts before it is scraped for the first time, such as the
// slots that passed while there was none, increase() does not see; within its first hour, all its count is of that hour.
func withinAnHour(counter string) string {
	return "(" + counter + " > 0 and on (namespace, pod, instance) time() - process_start_time_seconds{OURS} < 3600) or increase(" + counter + "[1h])"
}

// quantiles are queries for quantiles of a histogram, over all replicas.
func quantiles(histogram string, of ...string) (queries []query) {
	for _, q := range of {
		queries = append(queries, query{
			"histogram_quantile(" + q + ", sum by (le) (rate(" + histogram + "_bucket{OURS}[WINDOW])))",
			map[string]string{"0.5": "half of them within", "0.9": "90 % within", "0.99": "99 % within"}[q],
		})
	}
	return queries
}
