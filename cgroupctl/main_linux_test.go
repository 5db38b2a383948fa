package cgroupctl

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wxops/wxops/internal/vmtest"
)

// TestMain makes the test binary the init of a guest where it is one, and the
// processes that tests put into slices where WXOPS_HELPER says so.
func TestMain(m *testing.M) {
	vmtest.Init()
	if mode := os.Getenv("WXOPS_HELPER"); mode != "" {
		helper(mode, os.Args[1:])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func helper(mode string, args []string) {
	switch mode {
	case "wait": // until it is killed
		fmt.Println("ready")
		forever()
	case "spin": // one busy thread for each argument's worth of cores
		n, _ := strconv.Atoi(args[0])
		runtime.GOMAXPROCS(n)
		for range n {
			go func() {
				for x := 1; x != 0; { // never 0: its lowest bit stays set
					x = x*5 | 1
				}
			}()
		}
		fmt.Println("ready")
		forever()
	case "fork": // a server whose children come and go without an end
		forkingServer(args[0])
	case "leaf": // a child: lives for a moment, forks once more, ends
		depth, _ := strconv.Atoi(args[1])
		var child *exec.Cmd
		if depth > 0 {
			child = start("leaf", args[0], strconv.Itoa(depth-1))
		}
		if sid, _ := unix.Getsid(0); sid == os.Getpid() && child != nil {
			_ = child.Wait() // nothing would tie the orphans of a dead session to the tree
		}
		time.Sleep(time.Duration(5+10*depth) * time.Millisecond) // lives past its parent: an orphan
	case "grow": // hold so many MiB, then wait
		hold(args)
	case "apply", "enter":
		helperTree(mode, args)
	case "read-only":
		report(readOnly(strings.ReplaceAll(args[0], ";", "\n")))
	case "rootless":
		report(rootlessStory(args[0], strings.ReplaceAll(args[1], ";", "\n")))
	case "as-user":
		report(asUser(strings.ReplaceAll(args[0], ";", "\n")))
	case "gate": // become another helper once the caller has placed this process
		c, err := net.Dial("unix", args[0])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_, _ = c.Read(make([]byte, 1)) // the end of the stream
		helper(args[1], args[2:])
	case "serve":
		serve()
	case "burst": // the same as grow, but nobody hears of its end
		hold(args)
	default:
		fmt.Fprintln(os.Stderr, "no helper", mode)
		os.Exit(2)
	}
}

// start runs a helper whose end nobody waits for.
func start(mode string, args ...string) *exec.Cmd {
	c := helperCommand(mode, args...)
	if err := c.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return nil
	}
	return c
}

func helperCommand(mode string, args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), "WXOPS_HELPER="+mode)
	c.SysProcAttr = &syscall.SysProcAttr{}
	return c
}

// forkingServer answers on a socket and keeps 25 processes coming and going,
// some in sessions of their own, some orphaned before they end.
func forkingServer(token string) {
	l, err := net.Listen("unix", "@wxops-"+token)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					fmt.Fprintln(c, "pong", s.Text())
				}
			}()
		}
	}()
	for i := range 12 {
		go func() {
			for {
				c := helperCommand("leaf", token, strconv.Itoa(1+i%2))
				c.SysProcAttr.Setsid = i%3 == 0
				if err := c.Run(); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		}()
	}
	fmt.Println("ready")
	forever()
}

// forever waits to be killed; a bare select would be a deadlock to the runtime.
func forever() {
	for range time.Tick(time.Hour) {
	}
}

func hold(args []string) {
	mib, _ := strconv.Atoi(args[0])
	var kept [][]byte
	for range mib {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	fmt.Println("ready")
	for range time.Tick(time.Hour) {
		runtime.KeepAlive(kept)
	}
}

// helperTree applies, or enters and then waits, as a process that a test kills.
func helperTree(mode string, args []string) {
	tree, err := liveTree(strings.ReplaceAll(args[0], ";", "\n"))
	if err == nil && mode == "apply" {
		_, err = tree.Apply(context.Background(), ApplyOptions{})
	}
	if err == nil && mode == "enter" {
		err = tree.Enter(args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	fmt.Println("ready")
	if mode == "enter" {
		forever()
	}
}

func liveTree(text string) (*Tree, error) {
	spec, err := ReadSpec(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	host, err := Detect()
	if err != nil {
		return nil, err
	}
	return Open(host, spec)
}
