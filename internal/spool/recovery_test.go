package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// recordSize is that of the frames of three-digit numbers.
const recordSize = frameHeader + 3

// image is a segment with the numbers from, …, to-1.
func image(from, to int) []byte {
	b := segmentHeader()
	for i := from; i < to; i++ {
		b = appendFrame(b, []byte(strconv.Itoa(i)))
	}
	return b
}

func put(t testing.TB, dir string, number uint64, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, segmentName(number)), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func putCheckpoint(t testing.TB, dir string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, checkpointName), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// expectAll opens the folder twice: what was recovered is recovered for good, and goes before what is new.
func expectAll(t testing.TB, dir string, want []int) Recovery {
	t.Helper()
	s, found := open(t, Options{Dir: dir})
	if found.Records != len(want) {
		t.Fatalf("%+v, want %d records", found, len(want))
	}
	expectBytes(t, s)
	appendNumbers(t, s, 900, 901)
	want = append(want, 900)
	got, _ := readNumbers(t, s, 1000)
	expect(t, got, want)
	_ = s.Close()
	s, again := open(t, Options{Dir: dir})
	if again.TornBytes != 0 || len(again.Quarantined) != 0 || again.Records != len(want) {
		t.Fatalf("found again: %+v", again)
	}
	got, end := readNumbers(t, s, 1000)
	expect(t, got, want)
	if err := s.Ack(end); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	return found
}

func TestTornAtEveryByteOfTheLastRecord(t *testing.T) {
	whole := image(100, 110)
	for cut := 1; cut < recordSize; cut++ {
		dir := t.TempDir()
		put(t, dir, 1, whole[:len(whole)-cut])
		put(t, dir, 2, image(200, 205)) // a torn segment need not be the last: a later process began another
		found := expectAll(t, dir, append(numbers(100, 109), numbers(200, 205)...))
		if found.TornBytes != int64(recordSize-cut) || len(found.Quarantined) != 0 {
			t.Errorf("cut %d: %+v", cut, found)
		}
	}
}

func TestTornHeaderOrEmptyFile(t *testing.T) {
	for size := range headerSize + 1 {
		dir := t.TempDir()
		put(t, dir, 1, image(100, 105))
		put(t, dir, 2, segmentHeader()[:size])
		if found := expectAll(t, dir, numbers(100, 105)); len(found.Quarantined) != 0 {
			t.Errorf("%d bytes: %+v", size, found)
		}
	}
}

func TestZerosAfterALossOfPower(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, 1, append(image(100, 105), make([]byte, 200_000)...))
	if found := expectAll(t, dir, numbers(100, 105)); found.TornBytes != 200_000 || len(found.Quarantined) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestFlippedByteInTheMiddle(t *testing.T) {
	for i := range recordSize {
		dir := t.TempDir()
		b := image(100, 110)
		b[headerSize+5*recordSize+i] ^= 0x41
		put(t, dir, 1, b)
		put(t, dir, 2, image(200, 205))
		found := expectAll(t, dir, append(numbers(100, 105), numbers(200, 205)...))
		if len(found.Quarantined) != 1 || found.TornBytes != 0 {
			t.Fatalf("byte %d: %+v", i, found)
		}
		if kept, err := os.ReadFile(filepath.Join(dir, found.Quarantined[0])); err != nil || !bytes.Equal(kept, b) {
			t.Errorf("byte %d: the damaged file was not kept as it was: %v", i, err)
		}
	}
}

func TestDamageAmongAcknowledgedRecordsCostsNothing(t *testing.T) {
	dir := t.TempDir()
	b := image(100, 110)
	b[headerSize+2*recordSize] ^= 1
	put(t, dir, 1, b)
	putCheckpoint(t, dir, encodeCheckpoint(Position{segment: 1, offset: headerSize + 5*recordSize}))
	if found := expectAll(t, dir, numbers(105, 110)); len(found.Quarantined) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestGarbageInTheFolder(t *testing.T) {
	dir := t.TempDir()
	garbage := bytes.Repeat([]byte("garbage "), 1000)
	put(t, dir, 1, garbage)
	put(t, dir, 2, image(100, 105))
	newer := image(500, 505)
	newer[7]++ // of a later format
	put(t, dir, 3, newer)
	put(t, dir, 1<<64-1, image(600, 605))
	for _, name := range []string{segmentName(4), "zzzz.seg", "folder"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"0000000000000001.seg.tmp", "0000000000000001.bad", "checkpoint.tmp", "note"} {
		if err := os.WriteFile(filepath.Join(dir, name), garbage, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, found := open(t, Options{Dir: dir})
	if len(found.Quarantined) != 3 || found.Quarantined[0] != "0000000000000001.1.bad" {
		t.Errorf("%+v", found)
	}
	if left := glob(t, dir, "*.tmp"); left != nil {
		t.Errorf("%v is left", left)
	}
	appendNumbers(t, s, 105, 106)
	got, end := readNumbers(t, s, 10)
	expect(t, got, numbers(100, 106))
	if err := s.Ack(end); err != nil {
		t.Fatal(err)
	}
}

func TestCheckpoints(t *testing.T) {
	at := func(segment uint64, offset int64) []byte {
		return encodeCheckpoint(Position{segment: segment, offset: offset})
	}
	flipped := at(2, headerSize)
	flipped[12] ^= 1
	all := append(append(numbers(100, 105), numbers(200, 205)...), numbers(300, 305)...)
	for name, c := range map[string]struct {
		content []byte
		want    []int
	}{
		"empty":                      {[]byte{}, all},
		"garbage":                    {[]byte("garbage that is longer than a checkpoint is"), all},
		"flipped byte":               {flipped, all},
		"torn":                       {at(2, headerSize)[:20], all},
		"number out of range":        {at(1<<64-1, headerSize), all},
		"at the beginning":           {at(1, 0), all},
		"between segments":           {at(2, headerSize), all[5:]},
		"in a segment":               {at(2, headerSize+2*recordSize), all[7:]},
		"at the end of a segment":    {at(2, headerSize+5*recordSize), all[10:]},
		"after the end of a segment": {at(2, 1<<40), all[10:]},
		"inside a record":            {at(2, headerSize+2*recordSize+1), all[5:]},
		"at the end of everything":   {at(3, headerSize+5*recordSize), nil},
		"ahead of everything":        {at(70, 12345), nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for n := range 3 {
				put(t, dir, uint64(n+1), image(100*(n+1), 100*(n+1)+5))
			}
			putCheckpoint(t, dir, c.content)
			expectAll(t, dir, slices.Clip(c.want))
		})
	}
	t.Run("a folder", func(t *testing.T) {
		dir := t.TempDir()
		put(t, dir, 1, image(100, 105))
		if err := os.Mkdir(filepath.Join(dir, checkpointName), 0o700); err != nil {
			t.Fatal(err)
		}
		expectAll(t, dir, numbers(100, 105))
	})
}

func TestMissingSegments(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, 2, image(200, 205))
	put(t, dir, 9, image(300, 305))
	putCheckpoint(t, dir, encodeCheckpoint(Position{segment: 1, offset: 50}))
	s, _ := open(t, Options{Dir: dir, SegmentBytes: 1})
	appendNumbers(t, s, 400, 403)
	if err := os.Remove(s.path(segmentName(9))); err != nil { // while it is open, too
		t.Fatal(err)
	}
	got, _ := readNumbers(t, s, 100)
	expect(t, got, append(numbers(200, 205), numbers(400, 403)...))
}

func TestDamageWhileOpen(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, Options{Dir: dir})
	appendNumbers(t, s, 100, 110)
	f, err := os.OpenFile(s.path(segmentName(1)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteAt([]byte("x"), headerSize+4*recordSize+9); err != nil {
		t.Fatal(err)
	}
	got, _ := readNumbers(t, s, 100)
	expect(t, got, numbers(100, 104))
	appendNumbers(t, s, 200, 203)
	got, _ = readNumbers(t, s, 100)
	expect(t, got, numbers(200, 203))
	s.Rewind()
	got, end := readNumbers(t, s, 100)
	expect(t, got, append(numbers(100, 104), numbers(200, 203)...))
	expectBytes(t, s)
	if left := glob(t, dir, "*.bad"); len(left) != 1 || s.Stats().Records != 7 {
		t.Errorf("%v, %+v", left, s.Stats())
	}
	if err := s.Ack(end); err != nil || s.Stats().Records != 0 {
		t.Errorf("%v, %+v", err, s.Stats())
	}
}

// prefix is a reader of its own, to hold the other against.
func prefix(b []byte) (records [][]byte) {
	for len(b) >= 8 {
		n := int(binary.BigEndian.Uint32(b))
		if n == 0 || n > 65536 || len(b) < 8+n {
			break
		}
		sum := crc32.Checksum(append(bytes.Clone(b[:4]), b[8:8+n]...), crc32.MakeTable(crc32.Castagnoli))
		if sum != binary.BigEndian.Uint32(b[4:]) {
			break
		}
		records = append(records, b[8:8+n])
		b = b[8+n:]
	}
	return records
}

func addSeeds(f *testing.F) {
	f.Add(image(100, 104), uint16(20), byte(1))
	f.Add(image(100, 104)[:40], uint16(9), byte(0))
	f.Add([]byte("garbage"), uint16(0), byte(0))
	f.Add([]byte{}, uint16(0), byte(0))
	f.Add(appendFrame(image(100, 102), bytes.Repeat([]byte{1}, MaxRecord)), uint16(9), byte(0))
}

func FuzzSegment(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte, at uint16, flip byte) {
		whole := prefix(b)
		if int(at) < len(b) {
			b = bytes.Clone(b)
			b[at] ^= flip
		}
		r, size := bytes.NewReader(b), int64(len(b))
		_ = checkHeader(r)
		want := prefix(b)
		kept, end := 0, int64(0) // the records before the flipped byte
		for _, record := range whole {
			if end += int64(frameHeader + len(record)); end > int64(at) {
				break
			}
			kept++
		}
		var got [][]byte
		end, err := readFrames(r, 0, size, 1<<20, func(record []byte) { got = append(got, record) })
		if !slices.EqualFunc(got, want, bytes.Equal) || len(got) < kept || (err == nil) != (end == size) {
			t.Fatalf("%d records to %d, want %d, at least %d: %v", len(got), end, len(want), kept, err)
		}
		if err != nil {
			_ = torn(r, end, size)
		}
	})
}

func FuzzOpen(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte, at uint16, flip byte) {
		if int(at) < len(b) {
			b = bytes.Clone(b)
			b[at] ^= flip
		}
		var want [][]byte
		if bytes.HasPrefix(b, segmentHeader()) {
			want = prefix(b[headerSize:])
		}
		dir := t.TempDir()
		put(t, dir, 1, b)
		s, found, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		got, _, err := s.Read(1 << 20)
		if err != nil || found.Records != len(want) || len(got) != len(want) {
			t.Fatalf("%d records read, %d found, want %d, %v", len(got), found.Records, len(want), err)
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("record %d is %q, want %q", i, got[i], want[i])
			}
		}
	})
}
