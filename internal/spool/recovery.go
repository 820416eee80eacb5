package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"
)

const lockName = "lock"

// Recovery is what Open found.
type Recovery struct {
	// Records counts the unacknowledged ones that can be read.
	Records int
	// TornBytes is what was cut off as the beginnings of records that were never written to their end.
	TornBytes int64
	// Quarantined names the files that were set aside, with what could not be read.
	Quarantined []string
}

// Open takes up what an earlier process left. It fails when the folder cannot be used at all, and never because of what is
// in it:
//   - a torn tail is cut off;
//   - a segment that is damaged in the middle is read up to the damage, and set aside as it was, as *.bad;
//   - when the checkpoint is damaged or missing everything is read again;
//   - a missing segment is skipped.
func Open(opts Options) (*Spool, Recovery, error) {
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	if opts.SegmentBytes <= 0 {
		opts.SegmentBytes = defaultSegmentBytes
	}
	if opts.LimitBytes > 0 {
		opts.SegmentBytes = min(opts.SegmentBytes, opts.LimitBytes/4)
	}
	began := opts.Clock.Now()
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, Recovery{}, fmt.Errorf("make the folder of the spool: %w", err)
	}
	lock, err := lockFolder(opts.Dir)
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("lock the spool %s: %w", opts.Dir, err)
	}
	s := &Spool{opts: opts, lock: lock}
	var found Recovery
	if err := s.recover(&found); err != nil {
		_ = lock.Close()
		return nil, Recovery{}, fmt.Errorf("read the spool %s: %w", opts.Dir, err)
	}
	found.Records = s.stats().Records
	if found.Records > 0 || found.TornBytes > 0 || len(found.Quarantined) > 0 {
		opts.Log.Info("The spool was taken up", "records", found.Records, "tornBytes", found.TornBytes,
			"quarantined", found.Quarantined, "took", opts.Clock.Since(began))
	}
	return s, found, nil
}

// lockFolder keeps other processes out for as long as this one lives. A read-only folder can be locked, and so be read,
// when the file is there already.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) || errors.Is(err, os.ErrPermission) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, err
	}
	return f, nil
}

func (s *Spool) recover(found *Recovery) error {
	entries, err := os.ReadDir(s.opts.Dir)
	if err != nil {
		return err
	}
	s.acked = s.readCheckpoint()
	s.read = s.acked
	highest := s.acked.segment
	var numbers []uint64
	for _, entry := range entries {
		name := entry.Name()
		number, numbered := parseNumber(name)
		if numbered {
			highest = max(highest, number)
		}
		switch {
		case strings.HasSuffix(name, tempSuffix) && (numbered || name == checkpointName+tempSuffix):
			_ = os.Remove(s.path(name)) // what it was to replace is still there
		case numbered && strings.HasSuffix(name, badSuffix):
			s.noteBad(name)
		case numbered && name == segmentName(number):
			numbers = append(numbers, number)
		}
	}
	s.next = highest + 1 // no number is used twice, so that a position never means two places
	slices.Sort(numbers)
	for _, number := range numbers {
		if err := s.takeUp(number, found); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) readCheckpoint() Position {
	path := s.path(checkpointName)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Position{}
	}
	var p Position
	if err == nil {
		p, err = decodeCheckpoint(b)
	}
	if err != nil {
		s.opts.Log.Error(err, "The checkpoint of the spool cannot be used; everything is read again")
		_ = os.Rename(path, path+badSuffix) // or something that is not a file would be in the way of the next
		return Position{}
	}
	return p
}

// takeUp makes a file that was found part of the log, or deletes it, or sets it aside.
func (s *Spool) takeUp(number uint64, found *Recovery) error {
	name := segmentName(number)
	if number < s.acked.segment {
		s.discard(name) // the process ended between the checkpoint and this
		return nil
	}
	f, size, err := openSegment(s.path(name))
	if err != nil {
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) {
			return err // says nothing about the file
		}
		s.quarantine(&segment{number: number}, err, found)
		return nil
	}
	defer func() { _ = f.Close() }()
	if err := checkHeader(f); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			found.TornBytes += size
			s.discard(name)
			return nil
		}
		s.quarantine(&segment{number: number}, err, found)
		return nil
	}
	seg, err := s.scanSegment(f, number, size)
	switch {
	case err == nil && seg.records == 0:
		s.discard(name)
		return nil
	case err != nil && !torn(f, seg.end, size):
		s.quarantine(seg, err, found)
		return nil
	case err != nil:
		found.TornBytes += size - seg.end
		if seg.records == 0 {
			s.discard(name)
			return nil
		}
		if err := os.Truncate(s.path(name), seg.end); err != nil {
			s.opts.Log.Error(err, "A torn record could not be cut off; it is not read", "segment", name)
		}
	}
	s.add(seg)
	return nil
}

func openSegment(path string) (*os.File, int64, error) {
	// A pipe or a device of that name would be waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file")
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// scanSegment counts the unacknowledged records of a file. An error tells why what follows them is none.
func (s *Spool) scanSegment(f *os.File, number uint64, size int64) (*segment, error) {
	seg := &segment{number: number, start: headerSize, dirty: true}
	if number == s.acked.segment {
		// Damage among the acknowledged ones is of no interest.
		seg.start = max(seg.start, min(s.acked.offset, size))
	}
	var err error
	seg.end, seg.records, err = scan(f, seg.start, size)
	if err != nil && seg.records == 0 && seg.start > headerSize {
		// There may be no record at that place because the checkpoint is not of this file. Then everything is read again.
		end, records, why := scan(f, headerSize, size)
		if end > seg.start {
			*seg = segment{number: number, start: headerSize, end: end, records: records, dirty: true}
			s.acked = Position{segment: number, offset: headerSize}
			s.read, err = s.acked, why
		}
	}
	return seg, err
}

func (s *Spool) add(seg *segment) {
	s.segments = append(s.segments, seg)
	s.bytes += seg.end
}

func (s *Spool) discard(name string) {
	if err := os.Remove(s.path(name)); err != nil {
		s.opts.Log.Error(err, "A segment that holds nothing could not be deleted", "segment", name)
	}
}

// quarantine sets a damaged file aside and keeps those of its records that can be read.
func (s *Spool) quarantine(seg *segment, why error, found *Recovery) {
	s.opts.Log.Error(why, "A segment is damaged and was set aside", "segment", segmentName(seg.number), "readable", seg.records)
	found.Quarantined = append(found.Quarantined, s.setAside(seg))
	if seg.records > 0 {
		s.add(seg)
	}
}

// setAside gives a damaged file another name and puts a copy of its readable part in its place. When that fails the file
// stays where it is and is read up to the damage all the same. It returns the name.
func (s *Spool) setAside(seg *segment) string {
	name := segmentName(seg.number)
	path := s.path(name)
	bad := strings.TrimSuffix(name, segmentSuffix) + badSuffix
	for i := 1; exists(s.path(bad)); i++ {
		bad = fmt.Sprintf("%016x.%d%s", seg.number, i, badSuffix)
	}
	var err error
	if seg.records == 0 {
		err = os.Rename(path, s.path(bad))
	} else {
		err = replaceByPrefix(path, s.path(bad), seg.end)
	}
	if err == nil {
		err = syncFolder(s.opts.Dir)
	}
	if err != nil {
		s.opts.Log.Error(err, "A damaged segment could not be set aside", "segment", name)
		if !exists(s.path(bad)) {
			return name
		}
	}
	s.noteBad(bad)
	return bad
}

// replaceByPrefix never leaves a moment in which neither file has the readable part.
func replaceByPrefix(path, bad string, end int64) error {
	temp := path + tempSuffix
	err := writeDurably(temp, func(to *os.File) error {
		from, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = from.Close() }()
		_, err = io.CopyN(to, from, end)
		return err
	})
	if err == nil {
		err = os.Link(path, bad)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

// noteBad counts a file that was set aside. Its size is nobody's loss if it cannot be told.
func (s *Spool) noteBad(name string) {
	var size int64
	if info, err := os.Lstat(s.path(name)); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	s.bad = append(s.bad, badFile{name, size})
	s.bytes += size
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
