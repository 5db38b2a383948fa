package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// manners are what servers do with a request.
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

// serve answers every request on l in one manner until l is closed.
func serve(l net.Listener, manner string) {
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
					manners[manner](c)
				}
			}
		}()
	}
}

// serveRaw is the command "rawserver ADDRESS MANNER" of the tests. It prints a
// line when it listens, also on UDP, where it says nothing, and ends with its
// standard input.
func serveRaw() {
	l, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	silent, err := net.ListenPacket("udp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer silent.Close()
	fmt.Println("listening")
	go serve(l, os.Args[2])
	_, _ = io.Copy(io.Discard, os.Stdin) // any end is the end
}
