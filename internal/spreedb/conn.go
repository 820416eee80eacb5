package spreedb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"syscall"
	"time"
)

var errHeaders = fmt.Errorf("server response headers exceeded %d bytes; aborted", bodyLimit) // net/http's words

// conn is a connection to SpreeDB, used by one poll at a time.
type conn struct {
	tcp     *net.TCPConn
	hangUp  func()
	request []byte

	reader *bufio.Reader
	limit  io.LimitedReader // between tcp and reader: what the headers of an answer may still take

	raw   syscall.RawConn
	probe func(fd uintptr) bool
	found error // by probe

	unused time.Time // since when
}

func newConn(tcp *net.TCPConn) (*conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	// The functions are made once: they would be an allocation in every poll.
	c := &conn{tcp: tcp, raw: raw, limit: io.LimitedReader{R: tcp}, hangUp: func() { _ = tcp.Close() }}
	c.reader = bufio.NewReaderSize(&c.limit, bufferSize)
	c.probe = func(fd uintptr) bool {
		var b [1]byte
		_, c.found = syscall.Read(int(fd), b[:])
		return true // do not wait
	}
	return c, nil
}

// quiet tells whether nothing has come since the last answer, neither the end of the connection nor anything that would be
// taken for the answer to the next request.
func (c *conn) quiet() bool {
	return c.raw.Read(c.probe) == nil && errors.Is(c.found, syscall.EAGAIN)
}

// exchange sends the request and appends the body of the answer to body. The connection can be used again if both sides
// are willing and the answer ended where its headers said.
func (c *conn) exchange(body *bytes.Buffer) (status int, reusable bool, err error) {
	c.limit.N = bodyLimit
	if _, err := c.tcp.Write(c.request); err != nil {
		return 0, false, err
	}
	resp, err := c.answer() //nolint:bodyclose // that would read it to its end, which may never come; ask hangs up instead
	if err != nil {
		return 0, false, err
	}
	c.limit.N = math.MaxInt64
	whole, err := receive(resp, body)
	reusable = whole && !resp.Close && resp.StatusCode > 199 && c.reader.Buffered() == 0
	return resp.StatusCode, reusable, err
}

// heard tells whether anything came of the last answer.
func (c *conn) heard() bool { return c.limit.N != bodyLimit }

// answer reads the headers of the answer, after any that are only preliminary, all within one limit.
func (c *conn) answer() (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(c.reader, nil)
		switch {
		case err != nil && c.limit.N <= 0:
			return nil, errHeaders
		case err != nil:
			return nil, err
		case resp.StatusCode < 100 || resp.StatusCode > 199 || resp.StatusCode == http.StatusSwitchingProtocols:
			return resp, nil
		}
	}
}
