package haproxy

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/wxops/wxops/naming"
)

// A server is one line of "show servers state" (file format version 1; see the
// management guide of HAProxy, section 9.3, "show servers state").
type server struct {
	backend, name string
	address       string
	port          int
	admin         int // srv_admin_state: a set of flags
	weight        naming.Weight
}

// The flags of srv_admin_state. 0x04 ("disabled" in the configuration) and 0x40
// (its name was set by the runtime API) only say what once was: they stay when
// the server has been enabled.
const (
	adminMaintenance = 0x01 | 0x02 | 0x20 // forced, inherited, by name resolution
	adminDrain       = 0x08 | 0x10        // forced, inherited
)

// parseServers reads the answer to "show servers state". Columns are found by
// name, because releases add some at the end.
func parseServers(text string) ([]server, error) {
	var columns []string
	var out []server
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if strings.TrimSpace(lines[0]) != "1" {
		return nil, fmt.Errorf("server state: %q is not version 1 of the format", first(text))
	}
	for n, line := range lines[1:] {
		line = strings.TrimRight(line, "\r")
		if line == "" {
			continue
		}
		if head, ok := strings.CutPrefix(line, "#"); ok {
			columns = strings.Fields(head)
			continue
		}
		cells := strings.Fields(line)
		if columns == nil || len(cells) < len(columns) {
			return nil, fmt.Errorf("server state: line %d has %d columns, the header %d", n+2, len(cells), len(columns))
		}
		s := server{}
		var err error
		for k, column := range columns {
			switch v := cells[k]; column {
			case "be_name":
				s.backend = v
			case "srv_name":
				s.name = v
			case "srv_addr":
				s.address = v
			case "srv_port":
				s.port, err = number(v)
			case "srv_admin_state":
				s.admin, err = number(v)
			case "srv_uweight":
				var w int
				w, err = number(v)
				s.weight = naming.Weight(w)
			}
			if err != nil {
				return nil, fmt.Errorf("server state: line %d: %s: %w", n+2, column, err)
			}
		}
		if s.backend == "" || s.name == "" {
			return nil, fmt.Errorf("server state: line %d has no backend or server name", n+2)
		}
		if s.weight > MaxWeight {
			return nil, fmt.Errorf("server state: line %d: weight %d is above %d", n+2, s.weight, MaxWeight)
		}
		out = append(out, s)
	}
	if columns == nil {
		return nil, errors.New("server state: no header")
	}
	return out, nil
}

func number(v string) (int, error) {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", v)
	}
	return int(n), nil
}

// first returns the first line of an answer, for an error message.
func first(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line[:min(len(line), 120)]
}

// A row is one server of "show stat", with the status in HAProxy's words.
type row struct {
	naming.Stats
	status, check string
	http          bool
	agent         bool
}

// A backend is the line of a whole backend in "show stat".
type backend struct {
	queue int64  // requests that wait for any server
	algo  string // "balance", "" without level operator; "unknown" for random
}

// parseStats reads the answer to "show stat" (CSV; management guide, section
// 9.1). It returns the servers by backend/name, and the backends by name.
// Columns are found by name; those a release lacks are -1.
func parseStats(text string) (rows map[string]row, backends map[string]backend, err error) {
	text, ok := strings.CutPrefix(strings.TrimLeft(text, "\n"), "# ")
	if !ok {
		return nil, nil, fmt.Errorf("statistics: %q is not the header of HAProxy's CSV", first(text))
	}
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	r.LazyQuotes = true // last_chk carries what a checked server said
	head, err := r.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("statistics: %w", err)
	}
	column := make(map[string]int, len(head))
	for k, name := range head {
		if name != "" && name != "-" {
			column[name] = k
		}
	}
	for _, need := range []string{"pxname", "svname", "qcur", "scur", "stot", "status"} {
		if _, ok := column[need]; !ok {
			return nil, nil, fmt.Errorf("statistics: the column %s is missing", need)
		}
	}
	rows, backends = map[string]row{}, map[string]backend{}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, backends, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("statistics: %w", err)
		}
		text := func(name string) string {
			if k, ok := column[name]; ok && k < len(cells) {
				return cells[k]
			}
			return ""
		}
		count := func(name string) int64 {
			n, err := strconv.ParseInt(text(name), 10, 64)
			if err != nil || n < 0 {
				return -1
			}
			return n
		}
		proxy, name := strings.Clone(text("pxname")), strings.Clone(text("svname"))
		switch name {
		case "FRONTEND":
			continue
		case "BACKEND":
			backends[proxy] = backend{queue: count("qcur"), algo: strings.Clone(text("algo"))}
			continue
		}
		if proxy == "" || name == "" || text("type") != "" && text("type") != "2" { // a listener
			continue
		}
		ms := func(name string) time.Duration { return time.Duration(max(0, count(name))) * time.Millisecond }
		seconds := count("lastsess")
		idle := time.Duration(-1)
		if seconds >= 0 && seconds < int64(time.Duration(1<<63-1)/time.Second) {
			idle = time.Duration(seconds) * time.Second
		}
		rows[proxy+"/"+name] = row{
			Stats: naming.Stats{
				Service: proxy, Instance: name,
				InFlight: count("scur"), Limit: count("slim"), Backlog: count("qcur"), Rate: count("rate"),
				Sessions: count("stot"), Requests: requests(count("req_tot"), count("stot"), text("mode")),
				Status:   [6]int64{count("hrsp_other"), count("hrsp_1xx"), count("hrsp_2xx"), count("hrsp_3xx"), count("hrsp_4xx"), count("hrsp_5xx")},
				Connects: count("econ"), Responses: count("eresp"), Retries: count("wretr"), Redirects: count("wredis"),
				Idle:      idle,
				QueueTime: ms("qtime"), ConnectTime: ms("ctime"), ResponseTime: ms("rtime"), TotalTime: ms("ttime"),
			},
			status: strings.Clone(text("status")),
			check:  strings.Clone(text("check_status")),
			http:   text("mode") == "http",
			agent:  text("agent_status") != "",
		}
	}
}

// requests returns the HTTP requests of a server. HAProxy counts req_tot for
// proxies only; a session of an HTTP server is one request.
func requests(total, sessions int64, mode string) int64 {
	if total >= 0 || mode != "http" {
		return total
	}
	return sessions
}

// health maps HAProxy's status and administrative flags.
func health(admin int, status string) naming.Health {
	switch word, _, _ := strings.Cut(status, " "); {
	case admin&adminMaintenance != 0 || word == "MAINT":
		return naming.Maintenance
	case admin&adminDrain != 0 || word == "DRAIN" || word == "NOLB":
		return naming.Draining
	case word == "DOWN":
		return naming.Down
	case status == "no check":
		return naming.Unchecked
	case word == "UP":
		return naming.Up
	}
	return naming.Down // a status this code does not know is no proof of health
}

// parseWeight reads the answer to "get weight": "7 (initial 100)". The first
// number is the one in force, before slow start or a layer-7 agent scale it.
func parseWeight(answer string) (naming.Weight, error) {
	text := strings.TrimSpace(answer)
	now, rest, ok := strings.Cut(text, " (initial ")
	w, err := number(now)
	if !ok || err != nil || !strings.HasSuffix(rest, ")") || w > int(MaxWeight) {
		return 0, fmt.Errorf("answer %q is not of the form %q", first(answer), "7 (initial 100)")
	}
	return naming.Weight(w), nil
}

// field returns the value of a line "name: value" in the answer to "show info".
func field(info, name string) (string, error) {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", fmt.Errorf("%q is not HAProxy's answer to show info: no %s", first(info), name)
}

// parseVersion finds the release in the answer to "show info".
func parseVersion(info string) (major, minor int, text string, err error) {
	if text, err = field(info, "Version"); err != nil {
		return 0, 0, "", err
	}
	a, rest, _ := strings.Cut(text, ".")
	b := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	major, err = number(a)
	if err == nil {
		minor, err = number(b)
	}
	if err != nil {
		return 0, 0, text, fmt.Errorf("version %q is not of the form 2.6.12", text)
	}
	return major, minor, text, nil
}

// parseProcess finds process and uptime in the answer to "show info".
func parseProcess(info string) (pid string, uptime time.Duration, err error) {
	if pid, err = field(info, "Pid"); err != nil {
		return "", 0, err
	}
	text, err := field(info, "Uptime_sec")
	if err != nil {
		return "", 0, err
	}
	seconds, err := number(text)
	if err != nil {
		return "", 0, fmt.Errorf("uptime %q is not in seconds", text)
	}
	return pid, time.Duration(seconds) * time.Second, nil
}
