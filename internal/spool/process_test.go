package spool

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	switch os.Getenv("SPOOL_HELPER") {
	case "append":
		appendUntilKilled()
	case "full":
		appendWithSmallFiles()
	default:
		os.Exit(m.Run())
	}
}

func helper(t *testing.T, kind string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SPOOL_HELPER="+kind)
	cmd.Stderr = os.Stderr
	return cmd
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func say(format string, args ...any) {
	_, err := fmt.Fprintf(os.Stdout, format+"\n", args...)
	must(err)
}

// appendUntilKilled is the process that TestKilledAtAnyInstant kills. It says "+ n" after n was appended, and "? n" before
// and "- n" after everything up to n is acknowledged.
func appendUntilKilled() {
	s, _, err := Open(Options{Dir: os.Args[1], SegmentBytes: 300})
	must(err)
	n, err := strconv.Atoi(os.Args[2])
	must(err)
	for ; ; n++ {
		must(s.Append([]byte(strconv.Itoa(n))))
		say("+ %d", n)
		if n%10 != 0 {
			continue
		}
		records, end, err := s.Read(7)
		must(err)
		if len(records) > 0 {
			say("? %s", records[len(records)-1])
			must(s.Ack(end))
			say("- %s", records[len(records)-1])
		}
	}
}

func TestKilledAtAnyInstant(t *testing.T) {
	const rounds, apart = 15, 1_000_000
	dir := t.TempDir()
	var appended []int
	begun, done := -1, -1 // the highest number whose acknowledgement was begun, and was remembered
	for round := range rounds {
		cmd := helper(t, "append", dir, strconv.Itoa((round+1)*apart))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for left := rand.IntN(400); lines.Scan(); left-- {
			if left == 0 {
				_ = cmd.Process.Kill() // what it says before it is dead still counts
			}
			kind, text, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			switch kind {
			case "+":
				appended = append(appended, n)
			case "?":
				begun = n
			case "-":
				done = n
			}
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("it was not killed: %v", err)
		}
	}
	s, found := open(t, Options{Dir: dir})
	if len(found.Quarantined) != 0 {
		t.Errorf("%+v", found)
	}
	got, _ := readNumbers(t, s, 1_000_000)
	there := map[int]bool{}
	for i, n := range got {
		there[n] = true
		if n <= done || i > 0 && n <= got[i-1] {
			t.Fatalf("%d is there again or in the wrong place; done is %d", n, done)
		}
	}
	lost := 0
	for _, n := range appended {
		if n > begun && !there[n] {
			lost++
		}
	}
	if lost > 0 || len(appended) == 0 || len(got) > len(appended)+rounds {
		t.Errorf("%d of %d lost, %d found", lost, len(appended), len(got))
	}
	t.Logf("%d appended, %d found, done to %d", len(appended), len(got), done)
}

const fileLimit = 1000

// appendWithSmallFiles is the process in which a write fails in the middle of a record, because files may not be larger.
func appendWithSmallFiles() {
	signal.Ignore(unix.SIGXFSZ)
	must(unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: fileLimit, Max: fileLimit}))
	s, _, err := Open(Options{Dir: os.Args[1]})
	must(err)
	failed := 0
	for n := 100; n < 400; n++ {
		err := s.Append([]byte(strconv.Itoa(n)))
		switch {
		case errors.Is(err, unix.EFBIG):
			failed++
		default:
			must(err)
			say("%d", n)
		}
	}
	if failed == 0 {
		panic("no write failed")
	}
}

func TestAWriteThatFailsHalfWay(t *testing.T) {
	dir := t.TempDir()
	out, err := helper(t, "full", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []int
	for line := range strings.Lines(string(out)) {
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, n)
	}
	if len(want) < 290 {
		t.Errorf("only %d of 300 were appended", len(want))
	}
	s, found := open(t, Options{Dir: dir})
	if found.TornBytes != 0 || len(found.Quarantined) != 0 {
		t.Errorf("%+v", found)
	}
	got, _ := readNumbers(t, s, 1000)
	expect(t, got, want)
}

// smallDisk mounts a file system, which only root may.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("no file system can be mounted: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := filepath.Join(smallDisk(t, "64k"), "spool")
	s, _ := open(t, Options{Dir: dir, SegmentBytes: 5000})
	n := 10000
	for ; ; n++ {
		if err := s.Append([]byte(strconv.Itoa(n))); errors.Is(err, unix.ENOSPC) {
			if !strings.Contains(err.Error(), "the volume of "+dir+" is full, so make room on it") {
				t.Errorf("Append said %v", err)
			}
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	expectBytes(t, s)
	_, end := readNumbers(t, s, 1000)
	if err := s.Ack(end); err != nil {
		t.Fatalf("a full disk cannot be drained: %v", err)
	}
	appendNumbers(t, s, n, n+100)
	_ = s.Close()
	s, found := open(t, Options{Dir: dir})
	if found.TornBytes != 0 || len(found.Quarantined) != 0 {
		t.Errorf("%+v", found)
	}
	got, _ := readNumbers(t, s, 1_000_000)
	expect(t, got, numbers(11000, n+100))
}

func TestReadOnlyFolder(t *testing.T) {
	dir := smallDisk(t, "1m")
	s, _ := open(t, Options{Dir: dir, SegmentBytes: 200})
	appendNumbers(t, s, 100, 150)
	_ = s.Close()
	torn := s.path(segmentName(1))
	info, err := os.Stat(torn)
	must(err)
	must(os.Truncate(torn, info.Size()-1))
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skip("cannot be made read-only: ", err)
	}
	s, found := open(t, Options{Dir: dir})
	if found.Records != 49 || found.TornBytes != recordSize-1 {
		t.Errorf("%+v", found)
	}
	if err := s.Append([]byte("x")); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "the volume of "+dir+" is read-only") {
		t.Errorf("Append said %v", err)
	}
	got, end := readNumbers(t, s, 1000)
	if len(got) != 49 || got[48] != 149 {
		t.Errorf("read %v", got)
	}
	if err := s.Ack(end); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "the volume of "+dir) || s.Stats().Records != 49 {
		t.Errorf("Ack said %v, %+v", err, s.Stats())
	}
	must(unix.Mount("", dir, "", unix.MS_REMOUNT, ""))
	if err := errors.Join(s.Append([]byte("150")), s.Ack(end)); err != nil || s.Stats().Records != 1 {
		t.Errorf("%v, %+v", err, s.Stats())
	}
}

func TestFolderThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(os.WriteFile(file, nil, 0o600))
	if _, _, err := Open(Options{Dir: file}); err == nil {
		t.Error("a file was opened as a folder")
	}
}
