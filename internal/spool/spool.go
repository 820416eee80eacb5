// Package spool is a durable first-in, first-out queue of opaque records in a folder: a log of segment files, and a
// checkpoint that remembers how much of it is done.
//
// What survives what: a record survives the death of the process from the moment that Append returns, because it is in
// the kernel's hands by then. It survives a loss of power after the next Sync. An acknowledgement survives both.
//
// Records are delivered in order and at least once: what was read but not acknowledged when the process ended is read
// again by the next one.
//
// What an earlier process left is never appended to. A checkpoint may then lie beyond the end of its segment, as it does
// when the power failed before the records were on the disk, and new records are still not taken for acknowledged ones.
package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

const defaultSegmentBytes = 4 << 20

// The errors that a caller may want to tell apart.
var (
	// ErrClosed is for whatever is called after Close.
	ErrClosed = errors.New("the spool is closed")
	// ErrInUse says that another process, or this one, has the folder open.
	ErrInUse = errors.New("another process uses the folder")
	// ErrRecordSize is for a record that is empty or longer than MaxRecord.
	ErrRecordSize = fmt.Errorf("a record has 1 to %d bytes", MaxRecord)
)

// Options of a Spool.
type Options struct {
	// Dir is made if need be. One process uses it at a time.
	Dir string
	// SegmentBytes is how large a file gets; 0 stands for 4 MiB. With a limit it is a quarter of that at most, or reaching
	// the limit would give up nearly everything at once.
	SegmentBytes int64
	// LimitBytes is how much disk is taken; 0 is no limit. Whole segments are given up to stay below it, the oldest first.
	LimitBytes int64
	// LimitAge is how old the newest record of a segment may get; 0 is no limit. Older segments are given up by Open and by
	// Append, the oldest first. A segment then takes records for an eighth of that at most, or a slow trickle would keep the
	// first ones of a large segment far longer. After a restart the age is that of the file.
	LimitAge time.Duration
	// Dropped is told which unacknowledged records are given up for a limit, before they are gone, those that were read
	// already included. It is called by Append, and by Open for the age, must not call the spool, and may be nil.
	Dropped func(records [][]byte)
	// Wait is how long Open waits for another process to let go of the folder; 0 is not at all. A process that is being
	// ended may still have it when its successor starts.
	Wait time.Duration
	// Clock tells the age of records and times the recovery; nil stands for the real one.
	Clock clock.Clock
	Log   logr.Logger
}

// Position is a place between two records. The zero Position is before all of them.
type Position struct {
	segment uint64
	offset  int64
	index   int // how many of the segment's records are before it
}

func (p Position) before(q Position) bool {
	return p.segment < q.segment || p.segment == q.segment && p.offset < q.offset
}

// Stats is how a Spool stands.
type Stats struct {
	// Bytes is how much disk the segments take, and those that were set aside.
	Bytes int64
	// Records counts the unacknowledged ones.
	Records int
	// Segments counts the files that may hold some.
	Segments int
}

// Spool is safe for concurrent use; reading makes sense for one goroutine only.
type Spool struct {
	opts Options
	lock *os.File

	// Ack and Sync wait for the disk, which Append must not: they take these first, and mu only while they do not wait.
	ackMu, syncMu sync.Mutex

	mu       sync.Mutex
	closed   bool
	segments []*segment // ascending
	next     uint64     // the number of the next segment
	active   *os.File   // the last segment, open for appending; nil makes the next Append begin another one
	bytes    int64
	bad      []badFile // what was set aside, oldest first
	acked    Position
	read     Position
	reading  *os.File // the segment with the number readingN
	readingN uint64
	newNames bool // a segment was made since the folder was synced
	frame    []byte
}

func (s *Spool) path(name string) string { return filepath.Join(s.opts.Dir, name) }

// Append puts a record at the end. When it returns nil the record survives the death of this process. After an error the
// record is not in the log, and a later Append may succeed. Errors of the file system can be told apart with errors.Is:
// unix.ENOSPC and unix.EDQUOT for a full volume, unix.EROFS for a read-only one, os.ErrPermission.
func (s *Spool) Append(record []byte) error {
	if len(record) == 0 || len(record) > MaxRecord {
		return ErrRecordSize
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.frame = appendFrame(s.frame[:0], record)
	size := int64(len(s.frame))
	now := s.opts.Clock.Now()
	s.expire(now)
	s.makeRoom(size)
	if s.active != nil && s.isFull(s.last(), size, now) {
		s.seal()
	}
	if s.active == nil {
		if err := s.begin(now); err != nil {
			return explain(s.opts.Dir, "begin a segment of the spool", err)
		}
	}
	last := s.last()
	if _, err := s.active.WriteAt(s.frame, last.end); err != nil {
		s.cutBack(err)
		return explain(s.opts.Dir, "append to the spool", err)
	}
	last.end += size
	last.newest = now
	last.records++
	last.dirty = true
	s.bytes += size
	return nil
}

func (s *Spool) last() *segment { return s.segments[len(s.segments)-1] }

// begin makes the segment that records are appended to from now on.
func (s *Spool) begin(now time.Time) error {
	name := s.path(segmentName(s.next))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			s.next++ // somebody put it there; it is none of ours
		}
		return err
	}
	if _, err := f.WriteAt(segmentHeader(), 0); err != nil {
		_ = f.Close()
		if os.Remove(name) != nil {
			s.next++
		}
		return err
	}
	s.active, s.newNames = f, true
	s.segments = append(s.segments, &segment{number: s.next, start: headerSize, end: headerSize, began: now, newest: now, dirty: true})
	s.bytes += headerSize
	s.next++
	return nil
}

// seal ends the segment that is appended to. One that has no records is not worth keeping.
func (s *Spool) seal() {
	_ = s.active.Close()
	s.active = nil
	if s.last().records == 0 {
		s.remove(len(s.segments) - 1)
	}
}

// cutBack takes what a failed write left out of the log. A full disk is full for a new segment too; after anything else
// the segment is left, because whatever it was may concern this file alone.
func (s *Spool) cutBack(why error) {
	err := s.active.Truncate(s.last().end)
	if err != nil {
		s.opts.Log.Error(err, "A record that was written in part could not be cut off; the next begins a new segment")
	}
	if err != nil || !noSpace(why) {
		s.seal()
	}
}

// remove deletes the segment at index i.
func (s *Spool) remove(i int) {
	seg := s.segments[i]
	s.segments = append(s.segments[:i], s.segments[i+1:]...)
	s.bytes -= seg.end
	if s.reading != nil && s.readingN == seg.number {
		s.stopReading()
	}
	if err := os.Remove(s.path(segmentName(seg.number))); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.opts.Log.Error(err, "A segment that is done could not be deleted")
	}
}

// Sync forces to the disk what was appended since the last time. Append does not wait for it.
func (s *Spool) Sync() error {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	var dirty []*segment
	for _, seg := range s.segments {
		if seg.dirty {
			seg.dirty = false
			dirty = append(dirty, seg)
		}
	}
	newNames := s.newNames
	s.newNames = false
	s.mu.Unlock()

	var err error
	for _, seg := range dirty {
		err = errors.Join(err, s.syncSegment(seg))
	}
	if newNames {
		if failed := syncFolder(s.opts.Dir); failed != nil {
			err = errors.Join(err, failed)
			s.mu.Lock()
			s.newNames = true
			s.mu.Unlock()
		}
	}
	if err != nil {
		return fmt.Errorf("sync the spool: %w", err)
	}
	return nil
}

// syncSegment opens the file anew, because its own descriptor may be closed at any time. Once a sync has failed the kernel
// may have forgotten what it could not write, so the segment is left.
func (s *Spool) syncSegment(seg *segment) error {
	f, err := os.Open(s.path(segmentName(seg.number)))
	if errors.Is(err, os.ErrNotExist) {
		return nil // done with and deleted
	}
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seg.dirty = true
	if s.active != nil && s.last() == seg {
		s.seal()
	}
	return err
}

// Stats is how the spool stands now.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats()
}

func (s *Spool) stats() Stats {
	st := Stats{Bytes: s.bytes, Segments: len(s.segments)}
	for _, seg := range s.segments {
		st.Records += seg.records - seg.acked
	}
	return st
}

// Close forces everything to the disk and lets go of the folder.
func (s *Spool) Close() error {
	err := s.Sync()
	if errors.Is(err, ErrClosed) {
		return nil
	}
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.active != nil {
		err = errors.Join(err, s.active.Close())
		s.active = nil
	}
	s.stopReading()
	return errors.Join(err, s.lock.Close())
}
