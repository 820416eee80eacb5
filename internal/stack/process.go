package stack

import (
	"bytes"
	"fmt"
	"net"
	"os"
)

// inherited is the part of our environment that programs need; the rest would make a stack depend on who starts it.
func inherited() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func freePorts() (first, second int, err error) {
	var ports [2]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }() // both are held, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports[0], ports[1], nil
}

// FreePort returns a port of 127.0.0.1 that nobody used a moment ago.
func FreePort() (int, error) {
	port, _, err := freePorts()
	return port, err
}

// lastLine is what a program said last.
func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return "it said nothing"
	}
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}
