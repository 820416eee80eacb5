package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
)

const (
	checkpointName = "checkpoint"
	checkpointSize = 8 + 8 + 8 + 4 // magic and version, segment, offset, checksum
)

var checkpointMagic = [4]byte{'S', 'P', 'C', 'K'}

func encodeCheckpoint(p Position) []byte {
	b := binary.BigEndian.AppendUint32(checkpointMagic[:], formatVersion)
	b = binary.BigEndian.AppendUint64(b, p.segment)
	b = binary.BigEndian.AppendUint64(b, uint64(p.offset))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeCheckpoint(b []byte) (Position, error) {
	if len(b) != checkpointSize || [4]byte(b) != checkpointMagic || binary.BigEndian.Uint32(b[4:]) != formatVersion ||
		crc32.Checksum(b[:checkpointSize-4], castagnoli) != binary.BigEndian.Uint32(b[checkpointSize-4:]) {
		return Position{}, errors.New("the checkpoint is damaged")
	}
	p := Position{segment: binary.BigEndian.Uint64(b[8:])}
	offset := binary.BigEndian.Uint64(b[16:])
	if offset > math.MaxInt64 || p.segment > maxNumber {
		return Position{}, errors.New("the checkpoint is out of range")
	}
	p.offset = max(headerSize, int64(offset))
	return p, nil
}

// writeCheckpoint replaces the checkpoint so that after a loss of power there is the old one or the new one.
func writeCheckpoint(dir string, p Position) error {
	path := filepath.Join(dir, checkpointName)
	temp := path + tempSuffix
	err := writeDurably(temp, func(f *os.File) error {
		_, err := f.Write(encodeCheckpoint(p))
		return err
	})
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return err
	}
	return syncFolder(dir)
}

// writeDurably makes a file whose content is on the disk when it returns, or none.
func writeDurably(path string, fill func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

// syncFolder makes the names in a folder survive a loss of power.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
