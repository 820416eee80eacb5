package stack

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
	return listener.Addr().String()
}

func TestALinkIsCutHangsAndIsMended(t *testing.T) {
	g := NewWithT(t)
	link, err := NewLink(echo(t))
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(link.Close)
	dial := func() (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", link.Addr())
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { _ = conn.Close() })
		return conn, bufio.NewReader(conn)
	}
	say := func(conn net.Conn, from *bufio.Reader, line string) {
		_, err := io.WriteString(conn, line)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(from.ReadString('\n')).To(Equal(line))
	}
	first, answers := dial()
	say(first, answers, "one\n")

	link.Hang()
	_, err = io.WriteString(first, "two\n")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(first.SetReadDeadline(time.Now().Add(50 * time.Millisecond))).To(Succeed())
	_, err = answers.ReadString('\n')
	g.Expect(err).To(MatchError(ContainSubstring("timeout")))
	second, more := dial()
	g.Eventually(link.Held).Should(Equal(2))
	g.Expect(link.Mend()).To(Succeed())
	g.Expect(first.SetReadDeadline(time.Time{})).To(Succeed())
	g.Expect(answers.ReadString('\n')).To(Equal("two\n"))
	say(second, more, "three\n")

	link.Cut()
	_, err = answers.ReadString('\n')
	g.Expect(err).To(HaveOccurred())
	g.Expect(link.Ended()).To(Equal(2))
	_, err = net.Dial("tcp", link.Addr())
	g.Expect(err).To(MatchError(ContainSubstring("refused")))
	g.Expect(link.Mend()).To(Succeed())
	third, last := dial()
	say(third, last, "four\n")
}
