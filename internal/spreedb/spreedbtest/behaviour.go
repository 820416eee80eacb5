package spreedbtest

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"
)

const (
	defaultMedian = 20 * time.Millisecond
	defaultSpread = 0.3
)

// Behaviour is how SpreeDB answers for a target. The zero Behaviour is a healthy device with a median of 20 ms.
// Where fields contradict each other the first in this list wins: Hang, Drop, Code and Body, Loss.
type Behaviour struct {
	// Hang never answers; the client has to give up.
	Hang bool
	// Drop closes the connection without an answer.
	Drop bool
	// Code is the HTTP status; 0 is 200. With one of 3xx the client is sent to the same address again, so that one
	// that follows is seen to poll more than once.
	Code int
	// Body is sent as it is in place of an answer. An empty one stands for the usual answer, or, with a Code other than
	// 2xx, for a page of HTML; Empty is how to send nothing.
	Body string
	// Empty sends no body at all.
	Empty bool
	// Truncate hangs up after half of the body.
	Truncate bool

	// Loss is the share of polls, from 0 to 1, that the device does not answer.
	Loss float64
	// Error is what SpreeDB says of a device that does not answer; default timeout.
	Error string
	// Patience is how long SpreeDB waits for a device that does not answer.
	Patience time.Duration
	// Median of the round-trip times, which are spread log-normally; default 20 ms.
	Median time.Duration
	// Spread is the standard deviation of their logarithms; default 0.3, none if negative.
	Spread float64
	// Instant answers at once. Otherwise an answer takes the round-trip time it reports.
	Instant bool
	// Delay makes SpreeDB itself slow: every answer takes that much longer, whatever it says.
	Delay time.Duration
}

// Good is a healthy device with a median round-trip time, answered at once.
func Good(median time.Duration) Behaviour { return Behaviour{Median: median, Instant: true} }

// Lossy is a device that leaves a share of polls, from 0 to 1, without an answer.
func Lossy(share float64) Behaviour { return Behaviour{Loss: share, Instant: true} }

// Dead is a device that never answers, of which SpreeDB says so at once.
func Dead() Behaviour { return Lossy(1) }

// Hanging is a device for which SpreeDB does not answer.
func Hanging() Behaviour { return Behaviour{Hang: true} }

// Slow is a healthy device for which SpreeDB takes its time.
func Slow(delay time.Duration) Behaviour { return Behaviour{Delay: delay, Instant: true} }

// Status is an HTTP status in place of an answer.
func Status(code int) Behaviour { return Behaviour{Code: code} }

// Raw is a body in place of an answer, with status 200.
func Raw(body string) Behaviour { return Behaviour{Body: body, Empty: body == ""} }

// Garbage is what a broken proxy might send with status 200.
func Garbage() Behaviour { return Raw(page) }

// Truncated hangs up in the middle of an answer.
func Truncated() Behaviour { return Behaviour{Truncate: true, Instant: true} }

const page = "<!doctype html><html><body><h1>It did not work</h1></body></html>\n"

// Population tells the behaviour of targets by a hash of their address, so that a target keeps it as long as the seed
// stays the same. Its At is an Options.Choose.
type Population struct {
	// Seed makes another choice.
	Seed uint64
	// Dead and Hang are the shares of targets, from 0 to 1, that never answer and for which SpreeDB hangs.
	Dead, Hang float64
	// Healthy is the behaviour of the others. What it says of devices that do not answer holds for the dead, too.
	Healthy Behaviour
}

// At is the behaviour of a target.
func (p Population) At(target netip.Addr) Behaviour {
	b := p.Healthy
	switch place := stream(p.Seed, target, 0).Float64(); {
	case place < p.Dead:
		b.Loss = 1
	case place < p.Dead+p.Hang:
		b.Hang = true
	}
	return b
}

// reply is what one poll is to be told.
type reply struct {
	code   int
	body   []byte
	after  time.Duration
	rtt    float64
	reason string
}

// reply plays the n-th poll of a target, from 1. It depends on nothing else, so that a run can be repeated however its
// polls interleave.
func (b Behaviour) reply(seed uint64, target netip.Addr, n uint64) reply {
	r := reply{code: http.StatusOK, after: b.Delay}
	if b.Code != 0 {
		r.code = b.Code
	}
	switch {
	case b.Empty:
		return r
	case b.Body != "":
		r.body = []byte(b.Body)
		return r
	case r.code < 200 || r.code > 299:
		r.body = []byte(page)
		return r
	}
	random := stream(seed, target, n)
	if random.Float64() < b.Loss {
		r.reason = b.Error
		if r.reason == "" {
			r.reason = "timeout"
		}
		r.after += b.Patience
	} else {
		r.rtt = b.roundTrip(random)
		if !b.Instant {
			r.after += time.Duration(r.rtt * float64(time.Millisecond))
		}
	}
	r.body = answer(r.rtt, r.reason, target)
	return r
}

// roundTrip draws a round-trip time in milliseconds, in whole microseconds and never 0, which would say that there was
// none.
func (b Behaviour) roundTrip(random *rand.Rand) float64 {
	median, spread := b.Median, b.Spread
	if median <= 0 {
		median = defaultMedian
	}
	if spread == 0 {
		spread = defaultSpread
	}
	micros := float64(median.Microseconds()) * math.Exp(max(spread, 0)*random.NormFloat64())
	return max(math.Round(micros), 1) / 1000
}

// stream is the randomness of the n-th poll of a target.
func stream(seed uint64, target netip.Addr, n uint64) *rand.Rand {
	hash := fnv.New64a()
	address := target.As16()
	_, _ = hash.Write(binary.LittleEndian.AppendUint64(address[:], n))
	return rand.New(rand.NewPCG(seed, hash.Sum64()))
}
