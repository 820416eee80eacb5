package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func open(t testing.TB, opts Options) (*Spool, Recovery) {
	t.Helper()
	s, found, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, found
}

func appendNumbers(t testing.TB, s *Spool, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := s.Append([]byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
}

func toNumbers(t testing.TB, records [][]byte) []int {
	t.Helper()
	var numbers []int
	for _, record := range records {
		n, err := strconv.Atoi(string(record))
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

func readNumbers(t testing.TB, s *Spool, limit int) ([]int, Position) {
	t.Helper()
	records, end, err := s.Read(limit)
	if err != nil {
		t.Fatal(err)
	}
	return toNumbers(t, records), end
}

// numbers is from, from+1, … to-1.
func numbers(from, to int) []int {
	var want []int
	for i := from; i < to; i++ {
		want = append(want, i)
	}
	return want
}

func expect(t testing.TB, got, want []int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func glob(t testing.TB, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// expectBytes compares what is counted with what is there.
func expectBytes(t testing.TB, s *Spool) {
	t.Helper()
	var want int64
	for _, name := range append(glob(t, s.opts.Dir, "*.seg"), glob(t, s.opts.Dir, "0*.bad")...) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		want += info.Size()
	}
	if got := s.Stats().Bytes; got != want {
		t.Errorf("%d bytes counted, %d are there", got, want)
	}
}

func TestReadsInOrderAcrossSegmentsAndRestarts(t *testing.T) {
	opts := Options{Dir: filepath.Join(t.TempDir(), "made", "here"), SegmentBytes: 64}
	s, _ := open(t, opts)
	appendNumbers(t, s, 100, 150)
	if st := s.Stats(); st.Records != 50 || st.Segments < 5 {
		t.Fatalf("%+v", st)
	}
	expectBytes(t, s)
	got, _ := readNumbers(t, s, 7)
	expect(t, got, numbers(100, 107))
	got, end := readNumbers(t, s, 13)
	expect(t, got, numbers(107, 120))
	s.Rewind()
	got, _ = readNumbers(t, s, 20)
	expect(t, got, numbers(100, 120))
	if err := s.Ack(end); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s, found := open(t, opts)
	if found.Records != 30 || s.Stats().Records != 30 {
		t.Fatalf("%+v %+v, want 30 records", found, s.Stats())
	}
	appendNumbers(t, s, 150, 160)
	got, end = readNumbers(t, s, 1000)
	expect(t, got, numbers(120, 160))
	if again, _ := readNumbers(t, s, 1); again != nil {
		t.Fatalf("read %v twice", again)
	}
	appendNumbers(t, s, 160, 161)
	got, last := readNumbers(t, s, 1000)
	expect(t, got, numbers(160, 161))
	if err := errors.Join(s.Ack(end), s.Ack(last), s.Ack(end), s.Ack(Position{})); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Records != 0 || st.Segments != 1 {
		t.Fatalf("%+v, want nothing but the current segment", st)
	}
	_ = s.Close()
	s, found = open(t, opts)
	if found.Records != 0 || s.Stats().Segments != 0 {
		t.Fatalf("%+v, want nothing", found)
	}
	appendNumbers(t, s, 161, 162)
	got, _ = readNumbers(t, s, 10)
	expect(t, got, numbers(161, 162))
}

func TestSegmentsAreDeletedOnlyAfterTheCheckpoint(t *testing.T) {
	s, _ := open(t, Options{Dir: t.TempDir(), SegmentBytes: 64})
	appendNumbers(t, s, 0, 50)
	_, end := readNumbers(t, s, 40)
	before := glob(t, s.opts.Dir, "*.seg")
	obstacle := s.path(checkpointName + tempSuffix)
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Ack(end); err == nil {
		t.Fatal("acknowledged without a checkpoint")
	}
	if after := glob(t, s.opts.Dir, "*.seg"); !slices.Equal(before, after) || s.Stats().Records != 50 {
		t.Fatalf("%v, before %v", after, before)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	if err := s.Ack(end); err != nil {
		t.Fatal(err)
	}
	if after := glob(t, s.opts.Dir, "*.seg"); len(after) >= len(before) || s.Stats().Records != 10 {
		t.Fatalf("%v, before %v, %+v", after, before, s.Stats())
	}
	s.Rewind()
	got, _ := readNumbers(t, s, 50)
	expect(t, got, numbers(40, 50))
}

func TestLimitGivesUpTheOldestAndSaysWhich(t *testing.T) {
	const limit = 1000
	var dropped []int
	s, _ := open(t, Options{Dir: t.TempDir(), LimitBytes: limit, Dropped: func(records [][]byte) {
		dropped = append(dropped, toNumbers(t, records)...)
	}})
	appendNumbers(t, s, 1000, 1010)
	_, end := readNumbers(t, s, 10)
	if err := s.Ack(end); err != nil {
		t.Fatal(err)
	}
	for i := 1010; i < 1500; i++ {
		appendNumbers(t, s, i, i+1)
		if st := s.Stats(); st.Bytes > limit {
			t.Fatalf("%d bytes", st.Bytes)
		}
	}
	expectBytes(t, s)
	if s.Stats().Bytes < limit/2 {
		t.Errorf("only %d bytes of %d are used", s.Stats().Bytes, limit)
	}
	first := 1500 - s.Stats().Records
	expect(t, dropped, numbers(1010, first))
	got, _ := readNumbers(t, s, 1000)
	expect(t, got, numbers(first, 1500))
}

func TestLimitTakesDamagedSegmentsFirst(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "0000000000000007.bad"), make([]byte, 900), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, Options{Dir: dir, LimitBytes: 1000, Dropped: func([][]byte) { t.Error("records were given up") }})
	appendNumbers(t, s, 0, 50)
	if left := glob(t, dir, "*.bad"); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	expectBytes(t, s)
}

func TestLimitSmallerThanARecordKeepsTheNewest(t *testing.T) {
	s, _ := open(t, Options{Dir: t.TempDir(), LimitBytes: 1})
	appendNumbers(t, s, 0, 5)
	got, _ := readNumbers(t, s, 10)
	expect(t, got, numbers(4, 5))
}

func TestOneProcessAtATime(t *testing.T) {
	opts := Options{Dir: t.TempDir()}
	s, _ := open(t, opts)
	_, _, err := Open(opts)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), opts.Dir) {
		t.Fatalf("the second Open said %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Read(1)
	for _, err := range []error{err, s.Append([]byte("x")), s.Ack(Position{segment: 9}), s.Sync()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v after Close", err)
		}
	}
	open(t, opts)
}

func TestRecordSizes(t *testing.T) {
	s, _ := open(t, Options{Dir: t.TempDir()})
	for _, size := range []int{0, MaxRecord + 1} {
		if err := s.Append(make([]byte, size)); !errors.Is(err, ErrRecordSize) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	sizes := []int{1, MaxRecord, 1, MaxRecord - 1, MaxRecord, MaxRecord}
	for _, size := range sizes {
		if err := s.Append(bytes.Repeat([]byte{7}, size)); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range sizes {
		records, _, err := s.Read(1)
		if err != nil || len(records) != 1 || len(records[0]) != size {
			t.Fatalf("%d records, %v", len(records), err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	const writers, each = 8, 300
	s, _ := open(t, Options{Dir: t.TempDir(), SegmentBytes: 1000})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := s.Append(fmt.Appendf(nil, "%d", w*each+i)); err != nil {
					t.Error(err)
				}
				if i%100 == 0 {
					if err := s.Sync(); err != nil {
						t.Error(err)
					}
				}
				_ = s.Stats()
			}
		})
	}
	last := map[int]int{}
	for n := 0; n < writers*each; {
		got, end := readNumbers(t, s, 50)
		for _, number := range got {
			w := number / each
			if seen, ok := last[w]; ok && number != seen+1 || !ok && number != w*each {
				t.Fatalf("%d after %d", number, seen)
			}
			last[w] = number
		}
		if n += len(got); n%7 == 0 {
			if err := s.Ack(end); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	expectBytes(t, s)
}

func BenchmarkAppend(b *testing.B) {
	for _, syncEvery := range []int{0, 100} {
		b.Run(fmt.Sprintf("sync=%d", syncEvery), func(b *testing.B) {
			s, _ := open(b, Options{Dir: b.TempDir(), LimitBytes: 256 << 20})
			record := bytes.Repeat([]byte{7}, 60)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := s.Append(record); err != nil {
					b.Fatal(err)
				}
				if syncEvery > 0 && i%syncEvery == 0 {
					if err := s.Sync(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkRead500(b *testing.B) {
	s, _ := open(b, Options{Dir: b.TempDir()})
	record := bytes.Repeat([]byte{7}, 60)
	for range 200_000 {
		if err := s.Append(record); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		records, _, err := s.Read(500)
		if err != nil {
			b.Fatal(err)
		}
		if len(records) == 0 {
			s.Rewind()
		}
	}
}

func BenchmarkOpen200k(b *testing.B) {
	opts := Options{Dir: b.TempDir()}
	s, _ := open(b, opts)
	for range 200_000 {
		if err := s.Append(bytes.Repeat([]byte{7}, 60)); err != nil {
			b.Fatal(err)
		}
	}
	_ = s.Close()
	for b.Loop() {
		s, found := open(b, opts)
		if found.Records != 200_000 {
			b.Fatal(found)
		}
		_ = s.Close()
	}
}
