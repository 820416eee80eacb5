package outbox

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestWhatWaitsCanBeSeenFromOutside(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 1, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	fault := b.db.Inject(supabasetest.Fault{Status: 503})
	b.put(b.jobs[0], 3, 1, 2)
	from := measure(b.jobs[0], 4).ScheduledAt
	b.box.PutGap(sample.Gap{JobID: b.jobs[0], From: from, To: from.Add(time.Second), Slots: 2, Reason: "Busy"})
	b.Expect(b.box.Spool.Append([]byte("something else"))).To(Succeed())
	b.Expect(os.WriteFile(filepath.Join(dir, "00000000000000ff.bad"), nil, 0o600)).To(Succeed())
	found, err := Inspect(dir)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(found).To(Equal(Waiting{
		Samples: 3, Gaps: 1, Unreadable: 1, Oldest: measure(b.jobs[0], 1).RecordedAt, Bytes: found.Bytes, Quarantined: []string{"00000000000000ff.bad"},
	}))
	b.Expect(found.Bytes).To(BeNumerically(">", 3*50))
	fault.Remove()
	b.run()
	b.settled()
	b.Eventually(func() (int, error) { w, err := Inspect(dir); return w.Samples + w.Gaps, err }).Should(BeZero())
}
