package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc, which is the same on every Linux.
const tick = 10 * time.Millisecond

// cpuOf is how much processor time a process has used.
func cpuOf(pid int) (time.Duration, error) {
	s, err := statOf(pid)
	return s.used, err
}

// cpuWithChildren is how much processor time a process, its children, and those that it had have used. Where a child goes over from
// the ones that run to the ones that have ended during the look it would count in neither or in both, so that look is taken again.
func cpuWithChildren(pid int) (time.Duration, error) {
	for range 100 {
		before, err := statOf(pid)
		if err != nil {
			return 0, err
		}
		running, settled, err := cpuOfChildren(pid)
		if err != nil {
			return 0, err
		}
		after, err := statOf(pid)
		if err != nil {
			return 0, err
		}
		if settled && after.reaped == before.reaped {
			return after.used + after.reaped + running, nil
		}
	}
	return 0, fmt.Errorf("children of process %d end at every look at its processor time", pid)
}

// cpuOfChildren is how much processor time the children that a process has now have used. It is not settled while one is being taken
// away: whether the process has been given that one's time already cannot be told.
func cpuOfChildren(pid int) (sum time.Duration, settled bool, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, false, fmt.Errorf("look for the children of process %d: %w", pid, err)
	}
	settled = true
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // it is about something else
		}
		if s, err := statOf(child); err == nil && s.parent == pid { // an error is that of a process which has just ended
			sum += s.used
			settled = settled && s.state != "X"
		}
	}
	return sum, settled, nil
}

// stat is what /proc/PID/stat tells: the state of the process (proc_pid_stat(5): X is dead), whose child it is, and how much processor
// time it has used itself, and those of its children that have ended.
type stat struct {
	state        string
	parent       int
	used, reaped time.Duration
}

func statOf(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, fmt.Errorf("see how much CPU the process %d has used: %w", pid, err)
	}
	return parseStat(text)
}

// parseStat reads /proc/PID/stat. The name of the program is in parentheses and may hold anything.
func parseStat(text []byte) (stat, error) {
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return stat{}, errors.New("/proc/PID/stat has too few fields")
	}
	var n [5]int64
	for i, at := range []int{1, 11, 12, 13, 14} { // ppid, utime, stime, cutime, cstime
		var err error
		if n[i], err = strconv.ParseInt(string(fields[at]), 10, 64); err != nil {
			return stat{}, fmt.Errorf("read /proc/PID/stat: %w", err)
		}
	}
	return stat{state: string(fields[0]), parent: int(n[0]), used: time.Duration(n[1]+n[2]) * tick, reaped: time.Duration(n[3]+n[4]) * tick}, nil
}

// memory is what a process takes, in bytes: now, and at most so far.
type memory struct{ rss, peak int64 }

func memoryOf(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, fmt.Errorf("see how much memory the process %d has: %w", pid, err)
	}
	return parseStatus(string(text))
}

// parseStatus reads /proc/PID/status.
func parseStatus(text string) (m memory, err error) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*int64{"VmRSS": &m.rss, "VmHWM": &m.peak}[name]
		if into == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return m, fmt.Errorf("read /proc/PID/status: %w", err)
		}
		*into = kib << 10
	}
	if m.rss == 0 {
		return m, errors.New("/proc/PID/status does not tell the memory: has the process ended?")
	}
	return m, nil
}

// machine is how much time all processors together had, and how much of it they did nothing.
type machine struct{ all, idle time.Duration }

func machineNow() (machine, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return machine{}, fmt.Errorf("see how busy the machine is, which needs Linux: %w", err)
	}
	return parseMachine(string(text))
}

// parseMachine reads the first line of /proc/stat. The time of guests, at its end, is counted in others.
func parseMachine(text string) (m machine, err error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return m, errors.New("/proc/stat does not begin with the sum of all processors")
	}
	for i, field := range fields[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return m, fmt.Errorf("read /proc/stat: %w", err)
		}
		m.all += time.Duration(n) * tick
		if i == 3 || i == 4 { // idle, and waiting for a disk
			m.idle += time.Duration(n) * tick
		}
	}
	return m, nil
}

// processor is what the machine calls its processors; empty if it does not say.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// busySince is the share of the processors that was used since an earlier look.
func (m machine) busySince(before machine) float64 {
	all := m.all - before.all
	if all <= 0 {
		return 0
	}
	return 1 - float64(m.idle-before.idle)/float64(all)
}
