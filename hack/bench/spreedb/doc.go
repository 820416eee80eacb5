// Package spreedb is a SpreeDB for benchmarks: it answers thousands of requests a second, and notes of each when it came
// without allocating anything. Package internal/spreedb/spreedbtest is the one that can play every kind of answer.
package spreedb
