package spool

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Inspection is what lies in a folder.
type Inspection struct {
	// Records counts the unacknowledged ones that can be read.
	Records int
	// Bytes is how much disk the segments take, and what was set aside.
	Bytes int64
	// Quarantined names the files that were set aside because they were damaged, sorted.
	Quarantined []string
}

// Inspect looks into a folder that another process may be using. It takes no lock and changes nothing, so that what it finds may be
// older than what is there, by an instant. visit is called for each unacknowledged record, whose memory belongs to it, and may be nil.
func Inspect(dir string, visit func(record []byte)) (Inspection, error) {
	var found Inspection
	// In this order: what is acknowledged meanwhile is counted, and never left out.
	acked := Position{}
	if b, err := os.ReadFile(filepath.Join(dir, checkpointName)); err == nil {
		if p, err := decodeCheckpoint(b); err == nil {
			acked = p
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return found, explain(dir, "look into the spool", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		number, numbered := parseNumber(name)
		switch {
		case numbered && strings.HasSuffix(name, badSuffix):
			found.Quarantined = append(found.Quarantined, name)
			if info, err := entry.Info(); err == nil {
				found.Bytes += info.Size()
			}
		case numbered && name == segmentName(number):
			if err := found.segment(filepath.Join(dir, name), number, acked, visit); err != nil {
				return found, explain(dir, "look into the spool", err)
			}
		}
	}
	slices.Sort(found.Quarantined)
	return found, nil
}

// segment adds a file. One that is gone was done with meanwhile, and what cannot be read of one is for its owner to set aside.
func (i *Inspection) segment(path string, number uint64, acked Position, visit func([]byte)) error {
	f, info, err := openSegment(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	i.Bytes += info.Size()
	from := int64(headerSize)
	switch {
	case number < acked.segment:
		return nil
	case number == acked.segment:
		from = max(from, acked.offset)
	}
	if checkHeader(f) != nil {
		return nil
	}
	_, _ = readFrames(f, from, info.Size(), math.MaxInt32, func(record []byte) {
		i.Records++
		if visit != nil {
			visit(record)
		}
	})
	return nil
}

// TryWrite tells whether a folder that is there takes a file, and leaves it as it was. The error says what to do.
func TryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".try-")
	if err != nil {
		return explain(dir, "write to the spool", err)
	}
	_, err = f.Write(segmentHeader()) // a volume may have room for a name, and none for what is in it
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return explain(dir, "write to the spool", err)
	}
	return nil
}
