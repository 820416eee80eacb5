package doctor

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/spreedb"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

func TestTheWayToSpreeDB(t *testing.T) {
	db := spreedbtest.New(spreedbtest.Options{Default: spreedbtest.Good(time.Millisecond)})
	server, err := db.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	db.Set("10.0.0.2", spreedbtest.Raw(`{"elapsed": 0, "error": "timed out"}`))
	db.Set("10.0.0.3", spreedbtest.Raw(`{"elapsed": 0, "error": "no such modem"}`))
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for name, tc := range map[string]struct {
		url     string
		targets []string
		want    string
		says    string
	}{
		"well":                 {server.URL, []string{"10.0.0.1"}, "spreedb-dns ok, spreedb-tcp ok, spreedb-http ok", "measured 10.0.0.1: "},
		"an unknown device":    {server.URL, []string{"10.0.0.3", "10.0.0.1"}, "spreedb-dns ok, spreedb-tcp ok, spreedb-http ok", "measured 10.0.0.1: "},
		"silent devices":       {server.URL, []string{"10.0.0.2", "10.0.0.3"}, "spreedb-dns ok, spreedb-tcp ok, spreedb-http ok", "the device 10.0.0.2 is silent (timed out)"},
		"unknown devices only": {server.URL, []string{"10.0.0.3"}, "spreedb-dns ok, spreedb-tcp ok, spreedb-http failed", "10.0.0.3: no such modem"},
		"no job":               {server.URL, nil, "spreedb-dns ok, spreedb-tcp ok, spreedb-http ok", "no job runs"},
		"something else":       {other.URL, []string{"10.0.0.1"}, "spreedb-dns ok, spreedb-tcp ok, spreedb-http failed", "404 Not Found"},
		"nobody":               {"http://127.0.0.1:1", []string{"10.0.0.1"}, "spreedb-dns ok, spreedb-tcp failed, spreedb-http skipped", "connection refused"},
		"a typo":               {"http://spreedb.invalid:4402", []string{"10.0.0.1"}, "spreedb-dns failed, spreedb-tcp skipped, spreedb-http skipped", "Check POLLER_BASE_URL for a typo"},
	} {
		client, err := spreedb.New(spreedb.Options{BaseURL: tc.url})
		if err != nil {
			t.Fatal(err)
		}
		var targets []netip.Addr
		for _, target := range tc.targets {
			targets = append(targets, netip.MustParseAddr(target))
		}
		s := &SpreeDB{BaseURL: tc.url, Client: client, Targets: func(context.Context) []netip.Addr { return targets }, Clock: clock.RealClock{}}
		short, text, _ := run(t.Context(), t, s.Chain())
		if short != tc.want || !strings.Contains(strings.Join(strings.Fields(text), " "), tc.says) {
			t.Errorf("%s: %s\n%s", name, short, text)
		}
	}
}

func TestTheSpool(t *testing.T) {
	g := NewWithT(t)
	dir := filepath.Join(t.TempDir(), "spool")
	look := func(dirs ...string) (string, string) {
		short, text, _ := run(t.Context(), t, (&Spool{Dirs: dirs, LimitBytes: 1 << 20, Clock: clock.RealClock{}}).Chain())
		return short, strings.Join(strings.Fields(text), " ")
	}
	short, text := look(dir)
	g.Expect(short).To(Equal("spool failed, spool-samples skipped"))
	g.Expect(text).To(ContainSubstring("there is no folder " + dir))
	file := filepath.Join(t.TempDir(), "file")
	g.Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
	short, text = look(dir, file)
	g.Expect(short).To(Equal("spool failed, spool-samples skipped"))
	g.Expect(text).To(And(ContainSubstring(file), ContainSubstring("in SPOOL_DIR")))

	s, _, err := spool.Open(spool.Options{Dir: dir, Log: logr.Discard()})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = s.Close() })
	short, text = look(file, dir)
	g.Expect(short).To(Equal("spool ok, spool-samples ok"), "the next folder will do, as for the operator")
	g.Expect(text).To(And(ContainSubstring(dir+" can be written to, and has "), ContainSubstring("of at most 1 MiB are taken"), ContainSubstring("nothing waits")))

	box := outbox.New(outbox.Options{Spool: s, Clock: clock.RealClock{}, Log: logr.Discard()})
	put := func(at time.Time) {
		at = at.UTC().Truncate(time.Second)
		g.Expect(box.Put(sample.Sample{JobID: "0b9c3f0e-5a54-4c6e-9d0c-000000000001", Cadence: time.Second, ScheduledAt: at, RecordedAt: at, Status: sample.Missed})).To(Succeed())
	}
	put(time.Now())
	short, text = look(dir)
	g.Expect(short).To(Equal("spool ok, spool-samples ok"))
	g.Expect(text).To(ContainSubstring("1 sample and 0 gaps wait to be stored, the oldest of 20"))
	put(time.Now().Add(-time.Hour))
	short, text = look(dir)
	g.Expect(short).To(Equal("spool ok, spool-samples warning"))
	g.Expect(text).To(ContainSubstring("2 samples and 0 gaps wait to be stored"))
	g.Expect(os.WriteFile(filepath.Join(dir, "0000000000000001.bad"), []byte("damaged"), 0o600)).To(Succeed())
	_, text = look(dir)
	g.Expect(text).To(And(ContainSubstring("damaged files were set aside: 0000000000000001.bad"), ContainSubstring("kept for 30 days")))
	g.Expect(s.Append([]byte("x"))).To(Succeed(), "its owner was not disturbed")
}
