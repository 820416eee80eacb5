package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// aged lets the last append to a file lie so far back.
func aged(t testing.TB, path string, by time.Duration) time.Time {
	t.Helper()
	at := time.Now().Add(-by).Truncate(time.Second)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAgeGivesUpTheOldestAndSaysWhich(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	var dropped []int
	s, _ := open(t, Options{Dir: t.TempDir(), Clock: clk, LimitAge: 8 * time.Hour, Dropped: func(records [][]byte) {
		dropped = append(dropped, toNumbers(t, records)...)
	}})
	appendNumbers(t, s, 0, 5)
	clk.Step(time.Hour / 2)
	appendNumbers(t, s, 5, 10)
	_, end := readNumbers(t, s, 3)
	if err := s.Ack(end); err != nil {
		t.Fatal(err)
	}
	clk.Step(time.Hour / 2) // an eighth of the limit since the segment was begun
	appendNumbers(t, s, 10, 20)
	clk.Step(7*time.Hour + time.Hour/2)
	appendNumbers(t, s, 20, 21)
	expect(t, dropped, nil)
	clk.Step(1)
	appendNumbers(t, s, 21, 22)
	expect(t, dropped, numbers(3, 10))
	clk.Step(time.Hour / 2)
	appendNumbers(t, s, 22, 23)
	expect(t, dropped, numbers(3, 20))
	got, _ := readNumbers(t, s, 100)
	expect(t, got, numbers(20, 23))

	clk.Step(100 * time.Hour) // nothing was appended: what is old then is the segment that still takes records
	appendNumbers(t, s, 23, 24)
	expect(t, dropped, numbers(3, 23))
	got, _ = readNumbers(t, s, 100)
	expect(t, got, numbers(23, 24))
	expectBytes(t, s)
}

func TestAgeWhenASegmentIsNeverIdle(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	s, _ := open(t, Options{Dir: t.TempDir(), Clock: clk, LimitAge: 80})
	for i := range 1000 {
		appendNumbers(t, s, i, i+1)
		clk.Step(1)
	}
	if n := s.Stats().Records; n < 80 || n > 90 {
		t.Errorf("%d records are kept, one for each unit of time", n)
	}
}

func TestAgeAtOpen(t *testing.T) {
	dir := t.TempDir()
	for n := range 4 {
		put(t, dir, uint64(n+1), image(100*(n+1), 100*(n+1)+5))
	}
	aged(t, filepath.Join(dir, segmentName(1)), 3*time.Hour)
	aged(t, filepath.Join(dir, segmentName(2)), 2*time.Hour)
	putCheckpoint(t, dir, encodeCheckpoint(Position{segment: 1, offset: headerSize + 3*recordSize}))
	var dropped []int
	opts := Options{Dir: dir, LimitAge: time.Hour, Dropped: func(records [][]byte) {
		dropped = append(dropped, toNumbers(t, records)...)
	}}
	s, found := open(t, opts)
	expect(t, dropped, append(numbers(103, 105), numbers(200, 205)...))
	if found.GivenUp != 7 || found.Records != 10 {
		t.Errorf("%+v", found)
	}
	expectBytes(t, s)
	got, end := readNumbers(t, s, 100)
	expect(t, got, append(numbers(300, 305), numbers(400, 405)...))
	if err := errors.Join(s.Ack(end), s.Close()); err != nil {
		t.Fatal(err)
	}
	dropped = nil
	if _, found = open(t, opts); found.GivenUp != 0 || dropped != nil {
		t.Errorf("%+v, %v", found, dropped)
	}
}

func TestAgeOfAFileThatOpenChanged(t *testing.T) {
	dir := t.TempDir()
	torn, damaged := image(100, 105), image(200, 210)
	damaged[headerSize+5*recordSize] ^= 1
	put(t, dir, 1, torn[:len(torn)-1])
	put(t, dir, 2, damaged)
	want := aged(t, filepath.Join(dir, segmentName(1)), time.Hour)
	aged(t, filepath.Join(dir, segmentName(2)), time.Hour)
	s, found := open(t, Options{Dir: dir})
	if found.TornBytes == 0 || len(found.Quarantined) != 1 {
		t.Fatalf("%+v", found)
	}
	for n := range uint64(2) {
		info, err := os.Stat(s.path(segmentName(n + 1)))
		if err != nil || !info.ModTime().Equal(want) {
			t.Errorf("segment %d is of %v, want %v, %v", n+1, info.ModTime(), want, err)
		}
	}
}

func TestDamagedSegmentsDoNotPileUp(t *testing.T) {
	dir := t.TempDir()
	for n := range 2 * maxBad {
		put(t, dir, uint64(n+1), []byte("garbage that is longer than a header"))
	}
	s, found := open(t, Options{Dir: dir})
	left := glob(t, dir, "*.bad")
	if len(found.Quarantined) != 2*maxBad || len(left) != maxBad || filepath.Base(left[0]) != "0000000000000011.bad" {
		t.Errorf("%d of %d left, the oldest %s", len(left), len(found.Quarantined), left[0])
	}
	expectBytes(t, s)
	_ = s.Close()
	put(t, dir, 100, []byte("garbage that is longer than a header"))
	s, _ = open(t, Options{Dir: dir})
	if left := glob(t, dir, "*.bad"); len(left) != maxBad || filepath.Base(left[maxBad-1]) != "0000000000000064.bad" {
		t.Errorf("%v", left)
	}
	expectBytes(t, s)
}

func TestDamagedSegmentsAreKeptForAMonth(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, 1, []byte("garbage that is longer than a header"))
	aged(t, filepath.Join(dir, segmentName(1)), 2*badFor)
	for range 2 { // the month begins when it is set aside
		s, _ := open(t, Options{Dir: dir})
		if left := glob(t, dir, "*.bad"); len(left) != 1 {
			t.Fatalf("%v", left)
		}
		_ = s.Close()
	}
	aged(t, filepath.Join(dir, "0000000000000001.bad"), badFor+time.Hour)
	s, _ := open(t, Options{Dir: dir})
	if left := glob(t, dir, "*.bad"); len(left) != 0 || s.Stats().Bytes != 0 {
		t.Errorf("%v, %+v", left, s.Stats())
	}
}

func TestDiskIsGivenBackWhileRunning(t *testing.T) {
	const segment = 10_000
	s, _ := open(t, Options{Dir: t.TempDir(), SegmentBytes: segment})
	for round := range 3 {
		appendNumbers(t, s, 10_000, 40_000)
		if got := s.Stats().Bytes; got < 30_000*13 {
			t.Fatalf("round %d: %d bytes", round, got)
		}
		for {
			got, end := readNumbers(t, s, 500)
			if err := s.Ack(end); err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				break
			}
		}
		if st := s.Stats(); st.Bytes > segment || st.Segments > 1 || st.Records != 0 {
			t.Errorf("round %d: %+v is left", round, st)
		}
		expectBytes(t, s)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for why, want := range map[error]string{
		unix.ENOSPC: "make room",
		unix.EDQUOT: "make room",
		unix.EROFS:  "mount it writable",
		unix.EACCES: "fsGroup",
		unix.EIO:    "append in /some/folder",
	} {
		err := explain("/some/folder", "append", &fs.PathError{Op: "write", Path: "file", Err: why})
		if !errors.Is(err, why) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/some/folder") {
			t.Errorf("%v", err)
		}
	}
}

// release is a clock that lets something happen while it is slept.
type release struct {
	clock.Clock
	after int
	then  func()
}

func (r *release) Sleep(d time.Duration) {
	if r.after--; r.after == 0 {
		r.then()
	}
	r.Clock.Sleep(d)
}

func TestOpenWaitsForTheProcessBefore(t *testing.T) {
	dir := t.TempDir()
	before, _ := open(t, Options{Dir: dir})
	appendNumbers(t, before, 0, 5)
	clk := clocktesting.NewFakeClock(time.Now())
	began := clk.Now()
	if _, _, err := Open(Options{Dir: dir, Clock: clk, Wait: 10 * time.Second}); !errors.Is(err, ErrInUse) || clk.Since(began) != 10*time.Second {
		t.Fatalf("%v after %v", err, clk.Since(began))
	}
	s, found := open(t, Options{Dir: dir, Wait: 10 * time.Second, Clock: &release{clk, 20, func() { _ = before.Close() }}})
	if found.Records != 5 || clk.Since(began) != 12*time.Second {
		t.Errorf("%+v after %v", found, clk.Since(began))
	}
	got, _ := readNumbers(t, s, 10)
	expect(t, got, numbers(0, 5))
}

func BenchmarkOpenAnHour(b *testing.B) {
	opts := Options{Dir: b.TempDir()}
	s, _ := open(b, opts)
	const records = 500 * 3600
	for i := range records {
		if err := s.Append(fmt.Appendf(nil, "%070s", strconv.Itoa(i))); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%.1f bytes each", float64(s.Stats().Bytes)/records)
	_ = s.Close()
	b.ReportAllocs()
	for b.Loop() {
		s, found := open(b, opts)
		if found.Records != records {
			b.Fatal(found)
		}
		_ = s.Close()
	}
}
