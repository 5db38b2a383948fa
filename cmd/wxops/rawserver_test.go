package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// manners are what servers do with a request that does not depend on others.
var manners = map[string]func(net.Conn){
	"answers":   func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") },
	"is slow":   func(c net.Conn) { <-time.After(time.Second); io.WriteString(c, "HTTP/1.1 204 No\r\n\r\n") },
	"takes 10":  func(c net.Conn) { <-time.After(10 * time.Millisecond); io.WriteString(c, "HTTP/1.1 204 No\r\n\r\n") },
	"stalls":    func(net.Conn) {},
	"closes":    func(c net.Conn) { c.Close() },
	"garbage":   func(c net.Conn) { io.WriteString(c, "220 ready to mail\r\n\r\n"); c.Close() },
	"half body": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"); c.Close() },
	"half head": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le"); c.Close() },
	"long head": func(c net.Conn) {
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX: %s\r\n\r\n", strings.Repeat("x", 1<<20))
		c.Close()
	},
	"endless": func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
		for piece := make([]byte, 64<<10); ; {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	},
}

// behaviour is what one server of a manner does with a request.
func behaviour(manner string) func(net.Conn) {
	switch manner {
	case "one by one": // 100 requests a second
		var worker sync.Mutex
		return func(c net.Conn) {
			worker.Lock()
			defer worker.Unlock()
			manners["takes 10"](c)
		}
	case "pauses": // for a second, 300 ms after the first request
		var first sync.Once
		var pause time.Time
		return func(c net.Conn) {
			first.Do(func() { pause = time.Now().Add(300 * time.Millisecond) })
			if at := time.Since(pause); at > 0 && at < time.Second {
				<-time.After(time.Second - at)
			}
			manners["answers"](c)
		}
	}
	return manners[manner]
}

// serve answers every request on l in one manner until l is closed.
func serve(l net.Listener, manner string) {
	answer := behaviour(manner)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			lines := bufio.NewReader(c)
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				if line == "\r\n" {
					answer(c)
				}
			}
		}()
	}
}

// serveRaw is the command "rawserver ADDRESS MANNER" of the tests. It prints a
// line when it listens, also on UDP, and ends with its standard input. On UDP it
// says nothing, or, with the manner "names slowly", answers as a name server.
func serveRaw() {
	l, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	datagrams, err := net.ListenPacket("udp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer datagrams.Close()
	fmt.Println("listening")
	if os.Args[2] == "names slowly" {
		go serveNames(datagrams)
	} else {
		go serve(l, os.Args[2])
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // any end is the end
}

// slowName is how long the name server takes for an answer.
const slowName = 600 * time.Millisecond

// serveNames answers that every name has the address 127.0.0.1 and no other.
func serveNames(c net.PacketConn) {
	for b := make([]byte, 512); ; {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(b[:n]) != nil || len(m.Questions) == 0 {
			continue
		}
		q := m.Questions[0]
		m = dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: []dnsmessage.Question{q}}
		if q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		if answer, err := m.Pack(); err == nil {
			time.AfterFunc(slowName, func() { _, _ = c.WriteTo(answer, from) })
		}
	}
}
