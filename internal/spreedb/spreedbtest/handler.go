package spreedbtest

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	prefix = "/latency/Sound Check/"
	poller = "simulator"
)

// ServeHTTP answers GET /latency/Sound%20Check/{ip}/ and nothing else.
func (s *SpreeDB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ours := strings.CutPrefix(r.URL.Path, prefix)
	ip, slash := strings.CutSuffix(rest, "/")
	addr, err := netip.ParseAddr(ip)
	switch {
	case !ours || !slash || err != nil || addr.Zone() != "":
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet:
		http.Error(w, "polls are GET", http.StatusMethodNotAllowed)
		return
	}
	b, n := s.arrive(addr)
	poll := Poll{Target: addr, Arrived: time.Now()}
	if b.Hang {
		<-r.Context().Done()
		s.leave(poll)
		return
	}
	reply := b.reply(s.seed, addr, n)
	answered := wait(r, reply.after) && !b.Drop
	if answered {
		poll.Code, poll.RTT, poll.Error = reply.code, reply.rtt, reply.reason
	}
	// Before the answer is sent: a client that has it may poll again at once, and that is no overlap.
	s.leave(poll)
	if !answered {
		panic(http.ErrAbortHandler) // hangs up, silently
	}
	reply.send(w, r, b.Truncate)
}

// wait reports false if the client gave up.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return r.Context().Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func (p reply) send(w http.ResponseWriter, r *http.Request, truncate bool) {
	header, kind := w.Header(), "application/json"
	if len(p.body) > 0 && p.body[0] == '<' {
		kind = "text/html; charset=utf-8"
	}
	header["Content-Type"] = []string{kind}
	if p.code >= 300 && p.code <= 399 {
		header.Set("Location", r.URL.EscapedPath())
	}
	if p.code != http.StatusNoContent && p.code != http.StatusNotModified {
		header["Content-Length"] = []string{strconv.Itoa(len(p.body))}
	}
	w.WriteHeader(p.code)
	if truncate {
		p.body = p.body[:len(p.body)/2] // the server hangs up when less is sent than promised
	}
	_, _ = w.Write(p.body)
}

// answer is SpreeDB's answer for a device.
func answer(rtt float64, reason string, target netip.Addr) []byte {
	quoted, _ := json.Marshal(reason) // a string always can
	b := make([]byte, 0, 160)
	b = append(b, `{"elapsed": `...)
	b = strconv.AppendFloat(b, rtt, 'f', -1, 64)
	b = append(b, `, "error": `...)
	b = append(b, quoted...)
	b = append(b, `, "expected": "`...)
	b = strconv.AppendFloat(b, rtt, 'f', -1, 64)
	b = append(b, `", "ip": "`...)
	b = target.AppendTo(b)
	return append(b, `", "poller": "`+poller+"\"}\n"...)
}
