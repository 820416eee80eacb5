package spool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// state is everything in a folder, by name.
func state(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, path := range glob(t, dir, "*") {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = string(b)
	}
	return files
}

func TestInspectingDisturbsNobody(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, Options{Dir: dir, SegmentBytes: 100})
	look := func(want []int, quarantined ...string) {
		t.Helper()
		before := state(t, dir)
		var records [][]byte
		found, err := Inspect(dir, func(record []byte) { records = append(records, record) })
		if err != nil {
			t.Fatal(err)
		}
		expect(t, toNumbers(t, records), want)
		if found.Records != len(want) || !slices.Equal(found.Quarantined, quarantined) {
			t.Errorf("found %+v", found)
		}
		if stats := s.Stats(); stats.Records != len(want) || stats.Bytes != found.Bytes {
			t.Errorf("found %+v, and the owner has %+v", found, stats)
		}
		if err := TryWrite(dir); err != nil {
			t.Error(err)
		}
		after := state(t, dir)
		if len(after) != len(before) {
			t.Errorf("files were %v, and are %v", before, after)
		}
		for name, content := range before {
			if after[name] != content {
				t.Errorf("%s has changed", name)
			}
		}
	}
	look(nil)
	appendNumbers(t, s, 0, 40)
	look(numbers(0, 40))
	_, place := readNumbers(t, s, 15)
	if err := s.Ack(place); err != nil {
		t.Fatal(err)
	}
	look(numbers(15, 40))
	_, place = readNumbers(t, s, 100)
	if err := s.Ack(place); err != nil {
		t.Fatal(err)
	}
	look(nil)
	appendNumbers(t, s, 40, 45)
	look(numbers(40, 45))
	if _, _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("the lock: %v", err)
	}
}

func TestInspectingADamagedFolder(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, Options{Dir: dir, SegmentBytes: 100})
	appendNumbers(t, s, 0, 30)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	segments := glob(t, dir, "*.seg")
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "00000000000000ff.bad"), "damaged")
	write(filepath.Join(dir, checkpointName), "damaged")
	write(segments[0], "damaged")
	last, err := os.ReadFile(segments[len(segments)-1])
	if err != nil {
		t.Fatal(err)
	}
	write(segments[len(segments)-1], string(last[:len(last)-1])) // as while a record is being written
	found, err := Inspect(dir, nil)
	if err != nil || found.Records == 0 || found.Records >= 29 || !slices.Equal(found.Quarantined, []string{"00000000000000ff.bad"}) {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestAFolderThatCannotBeUsedIsExplained(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := Inspect(missing, nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("inspecting: %v", err)
	}
	if err := TryWrite(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("writing: %v", err)
	}
	if err := TryWrite("/proc/self"); err == nil || !strings.Contains(err.Error(), "/proc/self") {
		t.Errorf("writing where nobody may: %v", err)
	}
}
