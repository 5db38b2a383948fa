package forecast

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
)

// readJSON reads one or several JSON values, each of any known form.
func (in *Input) readJSON(b *bufio.Reader) error {
	d := json.NewDecoder(b)
	for {
		var raw json.RawMessage
		err := d.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: JSON: %w", ErrFormat, err)
		}
		list := []json.RawMessage{raw}
		if raw[0] == '[' { // several answers put together
			if err := json.Unmarshal(raw, &list); err != nil {
				return fmt.Errorf("%w: JSON: %w", ErrFormat, err)
			}
		}
		for _, one := range list {
			if err := in.readValue(one); err != nil {
				return err
			}
		}
	}
}

// readValue takes one JSON document: the form is told by its keys.
func (in *Input) readValue(raw json.RawMessage) error {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return fmt.Errorf("%w: JSON that is not an object", ErrFormat)
	}
	switch {
	case keys["status"] != nil && (keys["data"] != nil || keys["error"] != nil):
		return in.readPrometheus(raw)
	case keys["metric"] != nil && keys["timestamps"] != nil:
		return in.readExport(raw)
	case keys["MetricDataResults"] != nil:
		return in.readCloudWatch(raw)
	case keys["sysstat"] != nil:
		return in.readSadf(raw)
	}
	return fmt.Errorf("%w: JSON with the keys %s; known are query_range, export, get-metric-data and sadf -j", ErrFormat, keyList(keys))
}

func keyList[V any](m map[string]V) string {
	var names []string
	for k := range m {
		names = append(names, k)
	}
	sort.Strings(names)
	return fmt.Sprintf("%.80q", strings.Join(names, ","))
}

// readPrometheus takes the answer of /api/v1/query_range
// (prometheus.io/docs, HTTP API, "Range queries").
func (in *Input) readPrometheus(raw json.RawMessage) error {
	var answer struct {
		Status  string `json:"status"`
		Error   string `json:"error"`
		Partial bool   `json:"isPartial"` // of VictoriaMetrics
		Data    struct {
			ResultType string `json:"resultType"`
			Result     []struct {
				Metric map[string]string    `json:"metric"`
				Values [][2]json.RawMessage `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("%w: query_range: %w", ErrFormat, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%w: the server answered %q: %s", ErrFormat, answer.Status, answer.Error)
	}
	if answer.Data.ResultType != "matrix" {
		return fmt.Errorf("%w: result type %q is not a matrix; ask query_range", ErrFormat, answer.Data.ResultType)
	}
	if answer.Partial {
		in.note("partial", "the server says that its answer is not complete: some of its storage did not answer")
	}
	for _, s := range answer.Data.Result {
		p := in.get(labelName(s.Metric))
		for _, v := range s.Values {
			in.add(p, string(v[0]), unquote(v[1]))
		}
	}
	return nil
}

// readExport takes a line of VictoriaMetrics' /api/v1/export.
func (in *Input) readExport(raw json.RawMessage) error {
	var line struct {
		Metric     map[string]string `json:"metric"`
		Values     []json.RawMessage `json:"values"`
		Timestamps []int64           `json:"timestamps"`
	}
	if err := json.Unmarshal(raw, &line); err != nil {
		return fmt.Errorf("%w: export line: %w", ErrFormat, err)
	}
	if len(line.Values) != len(line.Timestamps) {
		return fmt.Errorf("%w: export line has %d values and %d timestamps", ErrFormat, len(line.Values), len(line.Timestamps))
	}
	p := in.get(labelName(line.Metric))
	for i, v := range line.Values {
		in.add(p, strconv.FormatInt(line.Timestamps[i], 10), unquote(v))
	}
	return nil
}

// readCloudWatch takes the answer of aws cloudwatch get-metric-data.
func (in *Input) readCloudWatch(raw json.RawMessage) error {
	var answer struct {
		MetricDataResults []struct {
			ID, Label  string
			Timestamps []json.RawMessage
			Values     []json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("%w: get-metric-data: %w", ErrFormat, err)
	}
	for _, s := range answer.MetricDataResults {
		if len(s.Values) != len(s.Timestamps) {
			return fmt.Errorf("%w: metric %q has %d values and %d timestamps", ErrFormat, s.Label, len(s.Values), len(s.Timestamps))
		}
		p := in.get(in.labelOf(s.ID, s.Label))
		for i, v := range s.Values {
			in.add(p, unquote(s.Timestamps[i]), unquote(v))
		}
	}
	return nil
}

// labelOf is the label of a CloudWatch metric, with its Id where another metric
// has that label. The pages of an answer give a metric the same Id.
func (in *Input) labelOf(id, label string) string {
	if label == "" {
		return id
	}
	if owner, taken := in.labels[label]; taken && owner != id {
		return label + " (" + id + ")"
	}
	in.labels[label] = id
	return label
}

// readSadf takes sadf -j: every number of every host and activity is a series.
func (in *Input) readSadf(raw json.RawMessage) error {
	var report struct {
		Sysstat struct {
			Hosts []struct {
				Nodename   string                       `json:"nodename"`
				Statistics []map[string]json.RawMessage `json:"statistics"`
			} `json:"hosts"`
		} `json:"sysstat"`
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		return fmt.Errorf("%w: sadf: %w", ErrFormat, err)
	}
	local := false
	for _, host := range report.Sysstat.Hosts {
		for _, record := range host.Statistics {
			var at struct {
				Date, Time string
				UTC        *int
			}
			if err := json.Unmarshal(record["timestamp"], &at); err != nil {
				return fmt.Errorf("%w: sadf: a record has no timestamp", ErrFormat)
			}
			delete(record, "timestamp")
			stamp := at.Date + "T" + strings.TrimSuffix(at.Time, "Z")
			if at.UTC == nil || *at.UTC != 0 {
				stamp += "Z"
			} else {
				local = true
			}
			for _, k := range sortedKeys(record) {
				in.sadfTree(host.Nodename+"/"+k, stamp, record[k], 0)
			}
		}
	}
	if local {
		in.note("zone", "sadf wrote local times; they are read in the zone %s", in.options.Zone)
	}
	return nil
}

// sadfTree walks one activity; objects in a list are told apart by their text
// member, as "cpu":"all".
func (in *Input) sadfTree(name, stamp string, raw json.RawMessage, depth int) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || depth > 8 {
		return
	}
	switch raw[0] {
	case '{':
		var m map[string]json.RawMessage
		if json.Unmarshal(raw, &m) != nil {
			return
		}
		for _, k := range sortedKeys(m) {
			if v := bytes.TrimSpace(m[k]); len(v) > 0 && v[0] == '"' {
				name += "/" + unquote(v)
			}
		}
		for _, k := range sortedKeys(m) {
			in.sadfTree(name+"/"+k, stamp, m[k], depth+1)
		}
	case '[':
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			return
		}
		for _, v := range list {
			in.sadfTree(name, stamp, v, depth+1)
		}
	case '"':
	default:
		in.add(in.get(name), stamp, string(raw))
	}
}

func sortedKeys(m map[string]json.RawMessage) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	sort.Strings(names)
	return names
}

// labelName writes a metric as the query languages do: name{a="b",c="d"}.
func labelName(m map[string]string) string {
	var labels []string
	for k, v := range m {
		if k != "__name__" {
			labels = append(labels, k+"="+strconv.Quote(v))
		}
	}
	sort.Strings(labels)
	name := m["__name__"]
	if len(labels) > 0 || name == "" {
		name += "{" + strings.Join(labels, ",") + "}"
	}
	return name
}

// unquote returns the text of a JSON string or number.
func unquote(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
