package spool

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"
)

const (
	lockName  = "lock"
	lockRetry = 100 * time.Millisecond
)

// Recovery is what Open found.
type Recovery struct {
	// Records counts the unacknowledged ones that can be read.
	Records int
	// GivenUp counts those that were older than LimitAge.
	GivenUp int
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
//   - what is older than LimitAge is given up;
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
		return nil, Recovery{}, explain(opts.Dir, "make the folder of the spool", err)
	}
	lock, err := lockFolder(opts.Dir)
	for until := began.Add(opts.Wait); errors.Is(err, ErrInUse) && opts.Clock.Now().Before(until); {
		opts.Clock.Sleep(lockRetry)
		lock, err = lockFolder(opts.Dir)
	}
	if err != nil {
		return nil, Recovery{}, explain(opts.Dir, "lock the spool", err)
	}
	s := &Spool{opts: opts, lock: lock}
	var found Recovery
	if err := s.recover(&found); err != nil {
		_ = lock.Close()
		return nil, Recovery{}, explain(opts.Dir, "read the spool", err)
	}
	found.GivenUp = s.expire(opts.Clock.Now())
	found.Records = s.stats().Records
	if found.Records > 0 || found.GivenUp > 0 || found.TornBytes > 0 || len(found.Quarantined) > 0 {
		opts.Log.Info("The spool was taken up", "records", found.Records, "givenUp", found.GivenUp, "tornBytes", found.TornBytes,
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
			s.foundBad(name)
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
	f, info, err := openSegment(s.path(name))
	if err != nil {
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) {
			return err // says nothing about the file
		}
		s.quarantine(&segment{number: number}, err, found)
		return nil
	}
	defer func() { _ = f.Close() }()
	size := info.Size()
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
	seg.newest = info.ModTime()
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
		} else {
			s.keepTime(seg)
		}
	}
	s.add(seg)
	return nil
}

func openSegment(path string) (*os.File, os.FileInfo, error) {
	// A pipe or a device of that name would be waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file")
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
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
