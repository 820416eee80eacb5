package spreedb

import (
	"bytes"
	"cmp"
	"context"
	"net"
	"net/netip"
	"net/url"
)

// direct is a transport for plain HTTP/1.1. net/http's has two goroutines for each connection and hands a poll to one and back
// from the other; here the goroutine that polls does everything itself, which takes a third less CPU (BenchmarkPoll).
// net/http still parses what comes.
type direct struct {
	dialer     net.Dialer
	address    string
	head, tail string // what stands before and behind the target in a request
	idle       idle
}

func newDirect(base url.URL, opts Options) *direct {
	return &direct{
		dialer:  net.Dialer{Timeout: connectTimeout},
		address: net.JoinHostPort(base.Hostname(), cmp.Or(base.Port(), "80")),
		head:    "GET " + base.EscapedPath(),
		tail:    "/ HTTP/1.1\r\nHost: " + base.Host + "\r\nUser-Agent: " + opts.UserAgent + "\r\nAccept: application/json\r\n\r\n",
		idle:    idle{clock: opts.Clock},
	}
}

// get asks over an unused connection, if there is one. If the server closes that before any of the answer has come, it
// did so before it had the request, as far as can be told: then a new connection is made, once.
func (d *direct) get(ctx context.Context, target netip.Addr, body *bytes.Buffer) (status int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if c := d.idle.take(); c != nil {
		status, err := d.ask(ctx, c, target, body)
		if err == nil || c.heard() || ctx.Err() != nil {
			return status, err
		}
	}
	c, err := d.dial(ctx)
	if err != nil {
		return 0, err
	}
	return d.ask(ctx, c, target, body)
}

// dial does not let the dialer see the deadline of ctx. It would have a timer of its own for that, and when this is the
// first to notice, the error reads as if nobody had taken the connection.
func (d *direct) dial(ctx context.Context) (*conn, error) {
	dialing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	tcp, err := d.dialer.DialContext(dialing, "tcp", d.address)
	if err != nil {
		return nil, err
	}
	return newConn(tcp.(*net.TCPConn))
}

// ask polls over the connection, which is unused or closed afterwards. When ctx ends it is closed at once: an answer that
// comes later must not be there for the next poll.
func (d *direct) ask(ctx context.Context, c *conn, target netip.Addr, body *bytes.Buffer) (status int, err error) {
	c.request = d.appendRequest(c.request[:0], target)
	stop := context.AfterFunc(ctx, c.hangUp)
	status, reusable, err := c.exchange(body)
	if stop() && reusable {
		d.idle.put(c)
	} else {
		c.hangUp()
	}
	return status, err
}

func (d *direct) appendRequest(b []byte, target netip.Addr) []byte {
	return append(target.AppendTo(append(b, d.head...)), d.tail...)
}
