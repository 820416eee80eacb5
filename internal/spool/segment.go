package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxRecord is how long a record may be. The bound tells a length from garbage, and limits what one read has to hold.
	MaxRecord = 64 << 10

	formatVersion = 1
	headerSize    = 8 // of a segment: magic, version
	frameHeader   = 8 // of a record: length, checksum
	maxFrame      = frameHeader + MaxRecord
	readChunk     = 2 * maxFrame // larger than any record, so that a chunk always holds one

	// maxNumber leaves room to count on from whatever a file is called.
	maxNumber = 1<<63 - 1

	segmentSuffix = ".seg"
	badSuffix     = ".bad"
	tempSuffix    = ".tmp"
)

var (
	segmentMagic = [4]byte{'S', 'P', 'L', 'G'}
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)

	errDamaged = errors.New("no record with a matching checksum")
)

// segment is what is remembered about one file of the log.
type segment struct {
	number  uint64
	start   int64 // where the records begin that are counted; before it everything was acknowledged when it was opened
	end     int64 // where the records end; what follows in the file, if anything, is none
	records int   // between start and end
	acked   int   // of these
	dirty   bool  // not yet forced to the disk

	began  time.Time // when this process made it; zero for what an earlier one left
	newest time.Time // when it was appended to last
}

func segmentName(number uint64) string { return fmt.Sprintf("%016x%s", number, segmentSuffix) }

// parseNumber gives the number in the name of a segment, or of one that was set aside.
func parseNumber(name string) (uint64, bool) {
	digits, _, ok := strings.Cut(name, ".")
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil && n <= maxNumber
}

func segmentHeader() []byte {
	return binary.BigEndian.AppendUint32(segmentMagic[:], formatVersion)
}

func appendFrame(b, record []byte) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(record)))
	sum := crc32.Update(crc32.Checksum(b[at:], castagnoli), castagnoli, record)
	b = binary.BigEndian.AppendUint32(b, sum)
	return append(b, record...)
}

// parseFrame gives the record at the start of b and how much of b it takes. It says io.ErrUnexpectedEOF when b ends inside
// what may be a record, and errDamaged when it is none. A record is never empty, or zeros would pass for one.
func parseFrame(b []byte) (record []byte, size int, err error) {
	if len(b) < frameHeader {
		return nil, 0, io.ErrUnexpectedEOF
	}
	length := binary.BigEndian.Uint32(b)
	if length == 0 || length > MaxRecord {
		return nil, 0, errDamaged
	}
	size = frameHeader + int(length)
	if len(b) < size {
		return nil, 0, io.ErrUnexpectedEOF
	}
	record = b[frameHeader:size:size]
	if crc32.Update(crc32.Checksum(b[:4], castagnoli), castagnoli, record) != binary.BigEndian.Uint32(b[4:]) {
		return nil, 0, errDamaged
	}
	return record, size, nil
}

// readFrames calls visit for the records between off and end until it has seen limit of them, and gives where they end. The
// records of one chunk share its memory, which belongs to visit. An error tells why the record at next cannot be read.
func readFrames(r io.ReaderAt, off, end int64, limit int, visit func(record []byte)) (next int64, err error) {
	next = off
	for limit > 0 && next < end {
		// The frames of samples are small: what the caller asked for rarely needs a whole chunk.
		chunk := make([]byte, min(end-next, readChunk, max(maxFrame, int64(limit)*128)))
		n, err := r.ReadAt(chunk, next)
		if n < len(chunk) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			chunk = chunk[:n] // what could be read before the error still counts
		} else {
			err = nil
		}
		before := next
		for limit > 0 && len(chunk) > 0 {
			record, size, bad := parseFrame(chunk)
			if bad != nil {
				if errors.Is(bad, errDamaged) || next == before {
					return next, errors.Join(bad, err)
				}
				break // the rest of it is in the next chunk, if anywhere
			}
			visit(record)
			chunk = chunk[size:]
			next += int64(size)
			limit--
		}
		if err != nil {
			return next, err
		}
	}
	return next, nil
}

// scan counts the records between off and size.
func scan(r io.ReaderAt, off, size int64) (end int64, records int, err error) {
	end, err = readFrames(r, off, size, int(size), func([]byte) { records++ })
	return end, records, err
}

// checkHeader says io.ErrUnexpectedEOF for a header that was not written to its end.
func checkHeader(r io.ReaderAt) error {
	var b [headerSize]byte
	n, err := r.ReadAt(b[:], 0)
	switch want := segmentHeader(); {
	case n < headerSize && (err == nil || errors.Is(err, io.EOF)) && bytes.HasPrefix(want, b[:n]):
		return io.ErrUnexpectedEOF
	case n < headerSize && err != nil && !errors.Is(err, io.EOF):
		return err
	case !bytes.Equal(b[:n], want):
		return errors.New("not a segment of this format")
	}
	return nil
}

// torn tells whether what follows the last record is the rest of one write that was cut short, and not a record whose
// length was damaged with good ones after it.
//   - Nothing but zeros: a file system made the file longer before the data was there, and then the power failed.
//   - No more than one record, and no good one anywhere in it.
func torn(r io.ReaderAt, end, size int64) bool {
	zeros := true
	for off := end; off < size && zeros; {
		chunk := make([]byte, min(size-off, readChunk))
		if n, err := r.ReadAt(chunk, off); n < len(chunk) || err != nil && !errors.Is(err, io.EOF) {
			return false
		}
		zeros = len(bytes.Trim(chunk, "\x00")) == 0
		off += int64(len(chunk))
	}
	if zeros {
		return true
	}
	if size-end > maxFrame {
		return false
	}
	tail := make([]byte, size-end)
	if n, _ := r.ReadAt(tail, end); n < len(tail) {
		return false
	}
	for i := range tail {
		if _, _, err := parseFrame(tail[i:]); err == nil {
			return false
		}
	}
	return true
}
