package spool

import (
	"errors"
	"os"
	"time"
)

// isFull tells whether the segment that is appended to takes no more than it has.
func (s *Spool) isFull(seg *segment, size int64, now time.Time) bool {
	if seg.records == 0 {
		return false
	}
	return seg.end+size > s.opts.SegmentBytes || s.opts.LimitAge > 0 && now.Sub(seg.began) >= s.opts.LimitAge/8
}

// expire gives up the segments that are too old, and counts their unacknowledged records.
func (s *Spool) expire(now time.Time) int {
	records := 0
	for s.opts.LimitAge > 0 && len(s.segments) > 0 && now.Sub(s.segments[0].newest) > s.opts.LimitAge {
		records += s.giveUpOldest("age")
	}
	return records
}

// makeRoom gives up the oldest until size more bytes are within the limit: first what was set aside, which nobody reads.
func (s *Spool) makeRoom(size int64) {
	if s.opts.LimitBytes <= 0 {
		return
	}
	for s.bytes+size+headerSize > s.opts.LimitBytes {
		switch {
		case len(s.bad) > 0:
			s.removeBad()
		case len(s.segments) > 0:
			s.giveUpOldest("size")
		default:
			return
		}
	}
}

// giveUpOldest counts the unacknowledged records that are lost.
func (s *Spool) giveUpOldest(limit string) int {
	seg := s.segments[0]
	lost := seg.records - seg.acked
	if lost > 0 {
		s.opts.Log.V(1).Info("The spool is at its limit and gave up its oldest records", "records", lost, "limit", limit)
		if records := s.unacknowledged(seg); len(records) > 0 && s.opts.Dropped != nil {
			s.opts.Dropped(records)
		}
	}
	if len(s.segments) == 1 && s.active != nil {
		_ = s.active.Close()
		s.active = nil
	}
	s.remove(0)
	return lost
}

// unacknowledged reads the records of a segment that would be lost with it.
func (s *Spool) unacknowledged(seg *segment) [][]byte {
	n := seg.records - seg.acked
	off := seg.start
	if s.acked.segment == seg.number {
		off = max(off, s.acked.offset)
	}
	f, err := os.Open(s.path(segmentName(seg.number)))
	if err != nil {
		s.opts.Log.Error(err, "Records that were given up could not be read", "records", n)
		return nil
	}
	defer func() { _ = f.Close() }()
	records := make([][]byte, 0, n)
	_, err = readFrames(f, off, seg.end, n, func(record []byte) { records = append(records, record) })
	if err != nil {
		s.opts.Log.Error(err, "Records that were given up could not be read", "records", n-len(records))
	}
	return records
}

// keepTime gives a file that was changed the time of its last append back, which is its age after a restart. One that
// cannot be given it is kept for longer, which is no harm.
func (s *Spool) keepTime(seg *segment) {
	if err := os.Chtimes(s.path(segmentName(seg.number)), time.Time{}, seg.newest); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.opts.Log.V(1).Info("The age of a segment could not be kept", "reason", err.Error())
	}
}
