package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// line is a figure in the table of one load. One that is empty for the operator is left out.
type line struct {
	name string
	of   func(f *figures) string
}

var lines = []line{
	{"polls", func(f *figures) string { return fmt.Sprintf("%s, %.0f/s", grouped(f.Polls), f.PollsPerSecond) }},
	{"slots due", func(f *figures) string { return grouped(f.Slots) }},
	{"  unmeasured", func(f *figures) string { return grouped(f.Unmeasured) }},
	{"  polled twice", func(f *figures) string { return grouped(f.Twice) }},
	{"  due for targets that hang, unmeasured", hanging},
	{"slots with a sample", func(f *figures) string { return fmt.Sprintf("%s, %.0f/s", grouped(f.Stored), f.StoredPerSecond) }},
	{"lateness p50", func(f *figures) string { return fmt.Sprintf("%.1f ms", f.LatenessMillis.P50) }},
	{"  p99", func(f *figures) string { return fmt.Sprintf("%.1f ms", f.LatenessMillis.P99) }},
	{"  max", func(f *figures) string { return fmt.Sprintf("%.1f ms", f.LatenessMillis.Max) }},
	{"CPU per poll", func(f *figures) string { return fmt.Sprintf("%.0f µs", f.CPUPerPollMicros) }},
	{"  cores", func(f *figures) string { return fmt.Sprintf("%.2f", f.Cores) }},
	{"  share of each replica", func(f *figures) string { return shares(f.CPUShares) }},
	{"memory", func(f *figures) string { return fmt.Sprintf("%.0f MiB", f.RSSMiB) }},
	{"  at most", func(f *figures) string { return fmt.Sprintf("%.0f MiB", f.PeakMiB) }},
	{"  per job", func(f *figures) string { return fmt.Sprintf("%.1f KiB", f.KiBPerJob) }},
	{"API writes per second", func(f *figures) string { return fmt.Sprintf("%.2f", f.APIWritesPerSecond) }},
	{"  per poll", func(f *figures) string { return fmt.Sprintf("%.4f", f.APIWritesPerPoll) }},
	{"Supabase requests per second", func(f *figures) string { return fmt.Sprintf("%.2f", f.SupabasePerSecond) }},
	{"  per poll", func(f *figures) string { return fmt.Sprintf("%.4f", f.SupabasePerPoll) }},
	{"POST of samples p50", func(f *figures) string { return fmt.Sprintf("%.1f ms", f.SamplePostMillis.P50) }},
	{"  p99", func(f *figures) string { return fmt.Sprintf("%.1f ms", f.SamplePostMillis.P99) }},
	{"  polls for each", func(f *figures) string { return fmt.Sprintf("%.0f", f.PollsPerPost) }},
	{"start to every job's first poll", func(f *figures) string { return sinceStart(&f.FirstPollSeconds) }},
	{"  to every job's first sample", func(f *figures) string { return sinceStart(f.FirstSampleSeconds) }},
	{"requests at SpreeDB at once, at most", func(f *figures) string { return grouped(f.PeakInFlight) }},
	{"  in the busiest second", func(f *figures) string { return grouped(f.PeakPerSecond) }},
	{"cores of etcd and kube-apiserver", func(f *figures) string { return fmt.Sprintf("%.2f", f.ControlPlaneCores) }},
	{"  of PostgreSQL", postgresCores},
	{"  of what plays SpreeDB and Supabase", func(f *figures) string { return fmt.Sprintf("%.2f", f.RigCores) }},
	{"the whole machine busy", func(f *figures) string { return percent(f.MachineBusy) }},
}

// print writes the table of one load.
func (res *result) print(to io.Writer) error {
	w := &strings.Builder{}
	_, _ = fmt.Fprintf(w, "\n%s\n", res.Load) // a Builder takes everything
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(table, "\toperator\tfloor")
	for _, l := range lines {
		operator, floor := l.of(&res.Operator), ""
		if res.Floor != nil {
			floor = l.of(res.Floor)
		}
		if operator != "" {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", l.name, operator, floor)
		}
	}
	if res.CPURatio > 0 {
		_, _ = fmt.Fprintf(table, "CPU per poll, operator to floor\t%.2f\n", res.CPURatio)
	}
	_ = table.Flush()
	_, _ = fmt.Fprintf(w, "The operator's API writes per second: %s.\n", rates(res.Operator.APIWrites))
	_, _ = fmt.Fprintf(w, "Its Supabase requests per second: %s.\n", rates(res.Operator.Supabase))
	if again := res.Restart; again != nil {
		_, _ = fmt.Fprintf(w, "Restarted, it ended within %.1f s, and after %.1f s more every job was polled again: %s at once at most, %s in the busiest second.\n",
			again.StopSeconds, again.FirstPollSeconds, grouped(again.PeakInFlight), grouped(again.PeakPerSecond))
	}
	for _, problem := range res.Problems {
		_, _ = fmt.Fprintf(w, "PROBLEM: %s\n", problem)
	}
	for _, c := range res.Targets {
		_, _ = fmt.Fprintf(w, "Target: %s\n", c)
	}
	_, err := io.WriteString(to, w.String())
	return err
}

// print writes a line for each load.
func (r *report) print(to io.Writer) error {
	if _, err := fmt.Fprintln(to); err != nil {
		return err
	}
	w := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "LOAD\tUNMEASURED\tLATE p50\tp99\tmax\tCPU/POLL\tTO FLOOR\tKiB/JOB\tAPI WRITES/POLL\tSUPABASE/POLL\tFIRST SAMPLES\t") // Flush tells
	for _, res := range r.Results {
		f := res.Operator
		toFloor := ""
		if res.CPURatio > 0 {
			toFloor = fmt.Sprintf("%.2f", res.CPURatio)
		}
		mark := missed(res.Targets)
		switch {
		case mark != "":
			mark = "missed: " + mark
		case len(res.Problems) > 0:
			mark = "problems, see above"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s of %s\t%.1f ms\t%.1f ms\t%.1f ms\t%.0f µs\t%s\t%.1f\t%.4f\t%.4f\t%s\t%s\n",
			res.Load, grouped(f.Unmeasured), grouped(f.Slots), f.LatenessMillis.P50, f.LatenessMillis.P99, f.LatenessMillis.Max, f.CPUPerPollMicros,
			toFloor, f.KiBPerJob, f.APIWritesPerPoll, f.SupabasePerPoll, sinceStart(f.FirstSampleSeconds), mark)
	}
	if err := w.Flush(); err != nil || r.Database != databasePostgres {
		return err
	}
	return r.printDatabase(to)
}

// printDatabase writes what PostgreSQL took under each load of the operator.
func (r *report) printDatabase(to io.Writer) error {
	if _, err := fmt.Fprintln(to); err != nil {
		return err
	}
	w := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "LOAD\tSAMPLES STORED/s\tPOSTGRESQL CORES\tPOST OF SAMPLES p50\tp99\tmax\tPOLLS/POST\t") // Flush tells
	for _, res := range r.Results {
		f := res.Operator
		_, _ = fmt.Fprintf(w, "%s\t%.1f\t%.2f\t%.1f ms\t%.1f ms\t%.1f ms\t%.0f\t\n", res.Load, f.StoredPerSecond, f.DatabaseCores,
			f.SamplePostMillis.P50, f.SamplePostMillis.P99, f.SamplePostMillis.Max, f.PollsPerPost)
	}
	return w.Flush()
}

func hanging(f *figures) string {
	if f.HangingSlots == 0 {
		return ""
	}
	return fmt.Sprintf("%s, %s", grouped(f.HangingSlots), grouped(f.HangingUnmeasured))
}

// postgresCores is empty where there is no PostgreSQL.
func postgresCores(f *figures) string {
	if f.DatabaseCores == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", f.DatabaseCores)
}

func shares(all []float64) string {
	texts := make([]string, len(all))
	for i, share := range all {
		texts[i] = percent(share)
	}
	return strings.Join(texts, " ")
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// sinceStart says how many seconds something took; 0 if it did not happen, and nil if nobody knows.
func sinceStart(seconds *float64) string {
	switch {
	case seconds == nil:
		return ""
	case *seconds == 0:
		return "never"
	}
	return fmt.Sprintf("%.1f s", *seconds)
}

// rates lists parts, the largest first.
func rates(parts map[string]float64) string {
	names := slices.SortedFunc(maps.Keys(parts), func(a, b string) int {
		return cmp.Or(cmp.Compare(parts[b], parts[a]), cmp.Compare(a, b))
	})
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = fmt.Sprintf("%s %.2f", name, parts[name])
	}
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, "; ")
}
