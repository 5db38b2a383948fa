package demo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// processVariable carries the specification of an instance to its process.
const processVariable = "WXOPS_DEMO_INSTANCE"

type processSpec struct {
	Name  string
	Law   Law
	Bound time.Duration
	Seed  uint64
}

// A Process is an [Instance] in a process of its own, for tests of what can
// be seen of a process from outside.
type Process struct {
	name, addr string
	cmd        *exec.Cmd
	input      io.Closer // the process ends when this is closed, or we die
}

// StartProcess starts an instance in a process: this program again, whose main
// must call [ServeProcess] first.
func StartProcess(name string, law Law, bound time.Duration, seed uint64) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(processSpec{name, law, bound, seed})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), processVariable+"="+string(spec))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("instance %s: %w", name, err)
	}
	p := &Process{name: name, cmd: cmd, input: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("instance %s gave no address: %w", name, err)
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// ServeProcess serves the instance that [StartProcess] asked for, prints its
// address and exits when standard input ends. It returns at once in a process
// that was not started so.
func ServeProcess() {
	text, ok := os.LookupEnv(processVariable)
	if !ok {
		return
	}
	var spec processSpec
	err := json.Unmarshal([]byte(text), &spec)
	if err == nil {
		var in *Instance
		if in, err = StartInstance(spec.Name, spec.Law, spec.Bound, spec.Seed); err == nil {
			fmt.Println(in.Addr())
			_, _ = io.Copy(io.Discard, os.Stdin) // any end is the end
			os.Exit(0)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Name returns the name of the instance.
func (p *Process) Name() string { return p.name }

// Addr returns its host:port.
func (p *Process) Addr() string { return p.addr }

// PID returns its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// MetricsURL returns the address of its Prometheus text endpoint.
func (p *Process) MetricsURL() string { return "http://" + p.addr + "/metrics" }

// Tally is [Instance.Tally] of the instance in the process.
func (p *Process) Tally(from, to time.Time, bound time.Duration) (Tally, error) {
	q := url.Values{}
	q.Set("from", strconv.FormatInt(from.UnixNano(), 10))
	q.Set("to", strconv.FormatInt(to.UnixNano(), 10))
	q.Set("bound", strconv.FormatInt(int64(bound), 10))
	resp, err := http.Get("http://" + p.addr + tallyPath + "?" + q.Encode())
	if err != nil {
		return Tally{}, err
	}
	defer resp.Body.Close()
	var t Tally
	return t, json.NewDecoder(resp.Body).Decode(&t)
}

// CPUTime ends the process and returns the CPU time of its whole life.
func (p *Process) CPUTime() (time.Duration, error) {
	if err := p.Close(); err != nil {
		return 0, err
	}
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime(), nil
}

// Close ends the process.
func (p *Process) Close() error {
	_ = p.input.Close()
	return p.cmd.Wait()
}

// tallyPath answers with the Tally of the span given in the query.
const tallyPath = "/tally"

func (in *Instance) serveTally(w http.ResponseWriter, r *http.Request) {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(r.FormValue(name), 10, 64) // 0 if absent
		return n
	}
	t := in.Tally(time.Unix(0, number("from")), time.Unix(0, number("to")), time.Duration(number("bound")))
	_ = json.NewEncoder(w).Encode(t) // a client that left is not our failure
}
