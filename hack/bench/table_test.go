package main

import (
	"strings"
	"testing"
)

func TestTheColumnOfFirstSamplesIsAboutSamples(t *testing.T) {
	for want, first := range map[string]*float64{"": nil, "never": new(0.0), "3.0 s": new(3.0)} {
		r := report{Results: []result{{Load: load{Jobs: 1}, Operator: figures{FirstPollSeconds: 2, FirstSampleSeconds: first}}}}
		var text strings.Builder
		if err := r.print(&text); err != nil {
			t.Fatal(err)
		}
		header, row, _ := strings.Cut(strings.Trim(text.String(), "\n"), "\n")
		at := strings.Index(header, "FIRST SAMPLES")
		if got := strings.TrimSpace(string([]rune(row)[at:])); got != want {
			t.Errorf("got %q, want %q, in %s", got, want, text.String())
		}
	}
}

func TestOnlyPostgreSQLHasATableOfWhatItTakes(t *testing.T) {
	res := result{Load: load{Jobs: 1000}, Operator: figures{
		StoredPerSecond: 99.96, DatabaseCores: 0.127, SamplePostMillis: percentiles{P50: 4.25, P99: 31, Max: 50.04}, PollsPerPost: 99.6,
	}}
	for database, want := range map[string]string{
		"memory":         "",
		databasePostgres: "1,000 jobs 100.0 0.13 4.2 ms 31.0 ms 50.0 ms 100",
	} {
		var text strings.Builder
		if err := (&report{Database: database, Results: []result{res}}).print(&text); err != nil {
			t.Fatal(err)
		}
		_, after, found := strings.Cut(text.String(), "POSTGRESQL CORES")
		_, row, _ := strings.Cut(after, "\n")
		if got := strings.Join(strings.Fields(row), " "); found != (want != "") || got != want {
			t.Errorf("%s: got %q, want %q", database, got, want)
		}
	}
}
