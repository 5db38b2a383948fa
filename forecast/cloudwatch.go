package forecast

import (
	"encoding/json"
	"fmt"
	"strings"
)

// cloudWatch is what is remembered of the answers of CloudWatch, which come in
// pages: a metric that is incomplete in one is completed by the next.
type cloudWatch struct {
	owners map[string]string // label in use -> Id of the metric that has it
	status map[string]string // name of a series -> status in its last page
	order  []string          // of the names
	more   string            // file whose last page names a next one
}

func newCloudWatch() cloudWatch {
	return cloudWatch{owners: map[string]string{}, status: map[string]string{}}
}

// message is what CloudWatch says beside the data.
type message struct{ Code, Value string }

// readCloudWatch takes the answer of aws cloudwatch get-metric-data (API
// reference, GetMetricData and MetricDataResult).
func (in *Input) readCloudWatch(raw json.RawMessage) error {
	var answer struct {
		MetricDataResults []struct {
			ID, Label, StatusCode string
			Timestamps, Values    []json.RawMessage
			Messages              []message
		}
		NextToken string
		Messages  []message
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("%w: get-metric-data: %w", ErrFormat, err)
	}
	in.clouds.more = ""
	if answer.NextToken != "" {
		in.clouds.more = in.file
	}
	for _, m := range answer.Messages {
		in.note("server", 0, "%s: CloudWatch says %s: %.300s", in.file, m.Code, m.Value)
	}
	for _, s := range answer.MetricDataResults {
		if len(s.Values) != len(s.Timestamps) {
			return fmt.Errorf("%w: metric %q has %d values and %d timestamps", ErrFormat, s.Label, len(s.Values), len(s.Timestamps))
		}
		name := in.clouds.nameOf(s.ID, s.Label)
		for _, m := range s.Messages {
			in.note("server", 0, "%s: CloudWatch says of %q %s: %.300s", in.file, name, m.Code, m.Value)
		}
		if _, known := in.clouds.status[name]; !known {
			in.clouds.order = append(in.clouds.order, name)
		}
		in.clouds.status[name] = s.StatusCode
		p := in.get([]byte(name))
		for i, v := range s.Values {
			in.add(p, unquote(s.Timestamps[i]), unquote(v))
		}
	}
	return nil
}

// nameOf is the label of a CloudWatch metric, with its Id where another metric
// has that label. The pages of an answer give a metric the same Id.
func (c *cloudWatch) nameOf(id, label string) string {
	if label == "" {
		return id
	}
	if owner, taken := c.owners[label]; taken && owner != id {
		return label + " (" + id + ")"
	}
	c.owners[label] = id
	return label
}

// unfinished warns of pages that did not come and of data that is not complete.
func (c *cloudWatch) unfinished() []Warning {
	var out []Warning
	if c.more != "" {
		out = append(out, Warning{Kind: "partial", Text: c.more + ": CloudWatch has more pages: the last one has a NextToken"})
	}
	for _, name := range c.order {
		if s := c.status[name]; s != "" && s != "Complete" {
			out = append(out, Warning{Series: name, Kind: "partial", Text: "CloudWatch gives the status " + s + ": values are lacking", Count: 1})
		}
	}
	return out
}

// readStatistics takes the answer of aws cloudwatch get-metric-statistics: a
// series for each statistic that was asked for.
func (in *Input) readStatistics(raw json.RawMessage) error {
	var answer struct {
		Label      string
		Datapoints []map[string]json.RawMessage
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("%w: get-metric-statistics: %w", ErrFormat, err)
	}
	for _, point := range answer.Datapoints {
		var statistics []string
		for _, k := range sortedKeys(point) {
			if k != "Timestamp" && k != "Unit" && k != "ExtendedStatistics" {
				statistics = append(statistics, k)
			}
		}
		for _, k := range statistics {
			name := answer.Label
			if len(statistics) > 1 {
				name = strings.Join([]string{answer.Label, k}, "/")
			}
			in.add(in.get([]byte(name)), unquote(point["Timestamp"]), unquote(point[k]))
		}
	}
	return nil
}
