package doctor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spreedb"
)

const (
	// lookUp is how long a name server, and dial how long a server may take.
	lookUp = 5 * time.Second
	dial   = 5 * time.Second
	// measure is how long SpreeDB may take to ask a device.
	measure = 10 * time.Second
	// asked is how many devices are asked for: one that SpreeDB does not know says nothing about the others.
	asked = 3
)

// SpreeDB is the way to what measures.
type SpreeDB struct {
	// BaseURL is POLLER_BASE_URL.
	BaseURL string
	Client  *spreedb.Client
	// ThroughProxy tells whether polls go through HTTP_PROXY and its like.
	ThroughProxy bool
	// Targets gives the addresses of some running jobs.
	Targets func(ctx context.Context) []netip.Addr
	Clock   clock.PassiveClock
}

// Chain is what is looked at.
func (s *SpreeDB) Chain() Chain {
	return Chain{{"spreedb-dns", true, s.dns}, {"spreedb-tcp", true, s.tcp}, {"spreedb-http", true, s.http}}
}

// way is where connections are made to: the server's, or the proxy's.
func (s *SpreeDB) way() (to *url.URL, variable, words string) {
	to, _ = url.Parse(strings.TrimSpace(s.BaseURL)) // it was looked at before the client was made
	if !s.ThroughProxy {
		return to, "POLLER_BASE_URL", ""
	}
	proxy, _ := http.ProxyFromEnvironment(&http.Request{URL: to})
	if proxy == nil {
		return to, "POLLER_BASE_URL", ""
	}
	return proxy, strings.ToUpper(to.Scheme) + "_PROXY", "through the proxy " + bare(proxy) + ": "
}

func (s *SpreeDB) dns(ctx context.Context) Finding {
	to, variable, words := s.way()
	host := to.Hostname()
	if isAddress(host) {
		return lead(words, Good("%s needs no look-up", host))
	}
	ctx, cancel := context.WithTimeout(ctx, lookUp)
	defer cancel()
	began := s.Clock.Now()
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return lead(words, resolveProblem(variable, host, err))
	}
	return lead(words, Good("%s is %s (%s)", host, some(found), s.Clock.Since(began).Round(100*time.Microsecond)))
}

func (s *SpreeDB) tcp(ctx context.Context) Finding {
	to, variable, words := s.way()
	address := net.JoinHostPort(to.Hostname(), portOf(to))
	ctx, cancel := context.WithTimeout(ctx, dial)
	defer cancel()
	began := s.Clock.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return lead(words, dialProblem(address, "Check host and port in "+variable+", and whether SpreeDB runs.",
			"Let the operator's pod reach "+address+": a firewall or a NetworkPolicy is in the way.", err))
	}
	_ = conn.Close()
	return lead(words, Good("%s takes connections (%s)", address, s.Clock.Since(began).Round(100*time.Microsecond)))
}

// http has some devices measured, as the operator does: nothing less shows that it is SpreeDB that answers.
func (s *SpreeDB) http(ctx context.Context) Finding {
	targets := s.Targets(ctx)
	if len(targets) == 0 {
		return Good("not asked, because no job runs whose device could be asked for")
	}
	targets = targets[:min(asked, len(targets))]
	ctx, cancel := context.WithTimeout(ctx, measure)
	defer cancel()
	results := make([]spreedb.Result, len(targets))
	var group errgroup.Group
	for i, target := range targets {
		group.Go(func() error {
			results[i] = s.Client.Poll(ctx, target)
			return nil
		})
	}
	_ = group.Wait() // nothing but nil
	if i := slices.IndexFunc(results, func(r spreedb.Result) bool { return r.Status == sample.Success }); i >= 0 {
		return Good("measured %s: %.1f ms", targets[i], *results[i].RTT)
	}
	if i := slices.IndexFunc(results, func(r spreedb.Result) bool { return r.Status == sample.Missed }); i >= 0 {
		return Good("answers: the device %s is silent (%s)", targets[i], results[i].Message)
	}
	var said []string
	for i, r := range results {
		said = append(said, fmt.Sprintf("%s: %s", targets[i], r.Message))
	}
	return Fail("Ask whoever runs SpreeDB, and check that POLLER_BASE_URL is its address: samples are system_error until it answers.",
		"it measures none of the devices that were asked for: %s", strings.Join(said, "; "))
}
