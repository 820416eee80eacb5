package spool

import (
	"errors"
	"fmt"
	"os"
)

// Read gives the next records that were not read yet, at most limit of them, and where they end. There are none at the end.
// The records belong to the caller. Reading does not acknowledge.
func (s *Spool) Read(limit int) ([][]byte, Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, Position{}, ErrClosed
	}
	var records [][]byte
	for len(records) < limit {
		seg := s.toRead()
		if seg == nil {
			break
		}
		f, err := s.openToRead(seg)
		if errors.Is(err, os.ErrNotExist) {
			s.opts.Log.Error(err, "A segment is missing", "records", seg.records-s.read.index)
			s.loseRest(seg)
			continue
		}
		if err != nil {
			if len(records) > 0 {
				break // the next Read says it
			}
			return nil, s.read, fmt.Errorf("read the spool: %w", err)
		}
		next, err := readFrames(f, s.read.offset, seg.end, limit-len(records), func(record []byte) {
			records = append(records, record)
			s.read.index++
		})
		s.read.offset = next
		if err != nil {
			// It was good when it was written or opened, and waiting will not make it good again.
			s.opts.Log.Error(err, "A segment has become unreadable and is set aside", "records", seg.records-s.read.index)
			s.loseRest(seg)
			s.setAside(seg)
		}
	}
	return records, s.read, nil
}

// toRead moves the place of reading to the next record, and gives its segment.
func (s *Spool) toRead() *segment {
	for _, seg := range s.segments {
		switch {
		case seg.number < s.read.segment || seg.number == s.read.segment && s.read.offset >= seg.end:
			continue
		case seg.number == s.read.segment:
			return seg
		case seg.start < seg.end:
			s.read = Position{segment: seg.number, offset: seg.start}
			return seg
		}
	}
	return nil
}

func (s *Spool) openToRead(seg *segment) (*os.File, error) {
	if s.reading != nil && s.readingN == seg.number {
		return s.reading, nil
	}
	s.stopReading()
	f, err := os.Open(s.path(segmentName(seg.number)))
	if err != nil {
		return nil, err
	}
	s.reading, s.readingN = f, seg.number
	return f, nil
}

func (s *Spool) stopReading() {
	if s.reading != nil {
		_ = s.reading.Close()
		s.reading = nil
	}
}

// loseRest makes a segment end where reading has come to.
func (s *Spool) loseRest(seg *segment) {
	if s.active != nil && s.last() == seg {
		_ = s.active.Close()
		s.active = nil
	}
	s.stopReading()
	s.bytes -= seg.end - s.read.offset
	seg.end, seg.records = s.read.offset, s.read.index
}

// Rewind makes the next Read begin at the first unacknowledged record again.
func (s *Spool) Rewind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = s.acked
}

// Ack says that everything before p is done. It is remembered durably before the segments are deleted that are done
// wholly. After an error it is as if it had not been called, and it may be called again; so may it for what is done already.
func (s *Spool) Ack(p Position) error {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	s.mu.Lock()
	closed, news := s.closed, s.acked.before(p)
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if !news {
		return nil
	}
	err := writeCheckpoint(s.opts.Dir, p)
	if err != nil && noSpace(err) {
		// A disk that the spool itself has filled would stay full for ever if the checkpoint had to come first. That a
		// segment is missing says as much as a checkpoint behind it would, so those that are done go to make room for it.
		s.mu.Lock()
		s.removeDone(p)
		s.mu.Unlock()
		err = writeCheckpoint(s.opts.Dir, p)
	}
	if err != nil {
		return explain(s.opts.Dir, "write the checkpoint of the spool", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = p
	if s.read.before(p) {
		s.read = p
	}
	s.removeDone(p)
	for _, seg := range s.segments {
		if seg.number == p.segment {
			seg.acked = min(p.index, seg.records)
		}
	}
	return nil
}

// removeDone deletes the segments that end before p or there, but for the one that is appended to.
func (s *Spool) removeDone(p Position) {
	for len(s.segments) > 0 {
		seg := s.segments[0]
		if p.before(Position{segment: seg.number, offset: seg.end}) || len(s.segments) == 1 && s.active != nil {
			return
		}
		s.remove(0)
	}
}
