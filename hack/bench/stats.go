package main

import (
	"slices"
	"strconv"
	"time"
)

// percentiles are those of some times, in milliseconds.
type percentiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// percentilesOf sorts the times.
func percentilesOf(times []time.Duration) percentiles {
	slices.Sort(times)
	return percentiles{P50: millis(percentile(times, 0.50)), P99: millis(percentile(times, 0.99)), Max: millis(percentile(times, 1))}
}

// percentile is the smallest of some sorted times that a share of them does not exceed; 0 where there are none.
func percentile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	at := int(share*float64(len(sorted)) + 0.999999)
	return sorted[min(max(at-1, 0), len(sorted)-1)]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// perSecond are the differences of two counts, each divided by seconds, without those that are 0.
func perSecond[N int64 | float64](before, after map[string]N, seconds float64) map[string]float64 {
	rates := map[string]float64{}
	for name, n := range after {
		if n -= before[name]; n > 0 {
			rates[name] = float64(n) / seconds
		}
	}
	return rates
}

func sum(rates map[string]float64) (total float64) {
	for _, rate := range rates {
		total += rate
	}
	return total
}

// ratio is 0 where there is nothing to divide by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// grouped writes a number with commas.
func grouped[N int | int64](n N) string {
	text := strconv.FormatInt(int64(n), 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
