package forecast

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// readJSON reads one or several JSON values, each of any known form.
func (in *Input) readJSON(b *bufio.Reader) error {
	d := json.NewDecoder(b)
	for n := 1; ; n++ {
		var raw json.RawMessage
		err := d.Decode(&raw)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("%w: JSON that ends in the middle of value %d: the file is cut off", ErrFormat, n)
		case err != nil:
			return fmt.Errorf("%w: JSON at byte %d: %w", ErrFormat, d.InputOffset(), err)
		}
		list := []json.RawMessage{raw}
		if raw[0] == '[' { // several answers put together, or the series of promtool
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
	case keys["resultType"] != nil && keys["result"] != nil:
		return in.readResult(raw)
	case keys["metric"] != nil && keys["timestamps"] != nil:
		return in.readExport(raw)
	case keys["metric"] != nil && (keys["values"] != nil || keys["histograms"] != nil): // of a list, as promtool query range -o json writes it
		return in.readMatrix([]json.RawMessage{raw})
	case keys["MetricDataResults"] != nil:
		return in.readCloudWatch(raw)
	case keys["Datapoints"] != nil:
		return in.readStatistics(raw)
	case keys["sysstat"] != nil:
		return in.readSadf(raw)
	}
	return fmt.Errorf("%w: JSON with the keys %s; known are query_range, export, get-metric-data, get-metric-statistics and sadf -j", ErrFormat, keyList(keys))
}

func keyList[V any](m map[string]V) string {
	return fmt.Sprintf("%.80q", strings.Join(sortedKeys(m), ","))
}

// readPrometheus takes the answer of /api/v1/query_range
// (prometheus.io/docs, HTTP API, "Range queries").
func (in *Input) readPrometheus(raw json.RawMessage) error {
	var answer struct {
		Status   string          `json:"status"`
		Error    string          `json:"error"`
		Warnings []string        `json:"warnings"`
		Infos    []string        `json:"infos"`
		Partial  bool            `json:"isPartial"` // of VictoriaMetrics
		Data     json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("%w: query_range: %w", ErrFormat, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%w: the server answered %q: %s", ErrAnswer, answer.Status, answer.Error)
	}
	if answer.Partial {
		in.note("partial", 0, "%s: the server says that its answer is not complete: some of its storage did not answer", in.file)
	}
	for _, w := range append(answer.Warnings, answer.Infos...) {
		in.note("server", 0, "%s: %.300s", in.file, w)
	}
	return in.readResult(answer.Data)
}

// readResult takes what a query had as its result.
func (in *Input) readResult(raw json.RawMessage) error {
	var data struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(raw, &data); err != nil {
		return fmt.Errorf("%w: it is of another address of the server", ErrAnswer)
	}
	if data.ResultType != "matrix" {
		return fmt.Errorf("%w: the result is a %s, of one instant", ErrAnswer, data.ResultType)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data.Result, &list); err != nil {
		return fmt.Errorf("%w: query_range: the result is no list", ErrFormat)
	}
	return in.readMatrix(list)
}

// readMatrix takes series with pairs of time and value.
func (in *Input) readMatrix(list []json.RawMessage) error {
	for _, raw := range list {
		var s struct {
			Metric     map[string]string    `json:"metric"`
			Values     [][2]json.RawMessage `json:"values"`
			Histograms json.RawMessage      `json:"histograms"`
		}
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("%w: query_range: %w", ErrFormat, err)
		}
		p := in.get([]byte(labelName(s.Metric)))
		for _, v := range s.Values {
			in.add(p, v[0], unquote(v[1]))
		}
		if len(s.Values) == 0 && s.Histograms != nil {
			in.note("series", 0, "%s: %s is a native histogram; ask for histogram_count(rate(...)) of it, or histogram_quantile", in.file, labelName(s.Metric))
		}
	}
	return nil
}

// readExport takes a line of VictoriaMetrics' /api/v1/export.
func (in *Input) readExport(raw json.RawMessage) error {
	var line struct {
		Metric     map[string]string `json:"metric"`
		Values     []json.RawMessage `json:"values"`
		Timestamps []json.RawMessage `json:"timestamps"`
	}
	if err := json.Unmarshal(raw, &line); err != nil {
		return fmt.Errorf("%w: export line: %w", ErrFormat, err)
	}
	if len(line.Values) != len(line.Timestamps) {
		return fmt.Errorf("%w: export line has %d values and %d timestamps", ErrFormat, len(line.Values), len(line.Timestamps))
	}
	p := in.get([]byte(labelName(line.Metric)))
	for i, v := range line.Values {
		in.add(p, line.Timestamps[i], unquote(v))
	}
	return nil
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
		in.note("zone", 0, "%s: sadf wrote local times; they are read in the zone %s", in.file, in.options.Zone)
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
				name += "/" + string(unquote(v))
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
		in.add(in.get([]byte(name)), []byte(stamp), raw)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

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
func unquote(raw json.RawMessage) []byte {
	if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : n-1]
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return []byte(s)
	}
	return raw
}
