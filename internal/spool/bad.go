package spool

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// What is set aside is for a person to look at, and nobody may ever come. So there are maxBad of these files at most, each
// about as large as a segment, and one that is older than badFor is deleted by Open. With LimitBytes they go before records do.
const (
	maxBad = 16
	badFor = 30 * 24 * time.Hour
)

// badFile is a segment that was set aside.
type badFile struct {
	name  string
	bytes int64
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
	if seg.records > 0 {
		s.keepTime(seg)
	}
	now := s.opts.Clock.Now()
	_ = os.Chtimes(s.path(bad), now, now) // what it is kept for begins now
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

// foundBad takes up a file that an earlier process set aside, or deletes it when its time is over.
func (s *Spool) foundBad(name string) {
	if info, err := os.Lstat(s.path(name)); err == nil && s.opts.Clock.Since(info.ModTime()) > badFor {
		s.deleteBad(name)
		return
	}
	s.noteBad(name)
}

// noteBad counts a file that was set aside. Its size is nobody's loss if it cannot be told.
func (s *Spool) noteBad(name string) {
	var size int64
	if info, err := os.Lstat(s.path(name)); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	s.bad = append(s.bad, badFile{name, size})
	s.bytes += size
	for len(s.bad) > maxBad {
		s.removeBad()
	}
}

// removeBad deletes the oldest.
func (s *Spool) removeBad() {
	s.bytes -= s.bad[0].bytes
	s.deleteBad(s.bad[0].name)
	s.bad = s.bad[1:]
}

func (s *Spool) deleteBad(name string) {
	if err := os.Remove(s.path(name)); err != nil {
		s.opts.Log.Error(err, "A damaged segment could not be deleted", "segment", name)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
