package naming

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A runLog is the append-only record of one weight change: a JSON object a
// line, each with time, token, by (owner, watchdog or replay) and event.
type runLog struct {
	mu    sync.Mutex
	f     *os.File
	token uint64
	by    string
	now   func() time.Time
}

// openRunLog opens the log at path, which is created if need be. now stamps its
// events.
func openRunLog(path string, token uint64, by string, now func() time.Time) (*runLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("run log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("run log: %w", err)
	}
	return &runLog{f: f, token: token, by: by, now: now}, nil
}

func runLogPath(stateDir, service string, token uint64, now time.Time) string {
	return filepath.Join(stateDir, "runs", fmt.Sprintf("%s-%s-%d-%d.jsonl", now.UTC().Format("20060102T150405Z"), fileName(service), token, os.Getpid()))
}

// add appends one event; fields is a struct or map whose keys follow the
// common ones. A nil log takes everything.
func (l *runLog) add(event string, fields any) error {
	if l == nil {
		return nil
	}
	head, err := json.Marshal(struct {
		Time  time.Time `json:"time"`
		Token uint64    `json:"token"`
		By    string    `json:"by"`
		Event string    `json:"event"`
	}{l.now().UTC(), l.token, l.by, event})
	if err != nil {
		return fmt.Errorf("run log: %w", err)
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("run log: %w", err)
	}
	line := head
	if len(body) > 2 && body[0] == '{' {
		line = append(append(line[:len(line)-1], ','), body[1:]...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("run log: %w", err)
	}
	return nil
}

func (l *runLog) close() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}

// A writeEvent is the audit record of one call of SetWeights.
type writeEvent struct {
	Changes  []Change          `json:"changes"`
	ReadBack map[string]Weight `json:"read_back,omitempty"`
	Reason   string            `json:"reason"`
	Error    string            `json:"error,omitempty"`
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
