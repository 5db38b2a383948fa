package forecast

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// Names as they come from metric stores and people.
var exportNames = []string{"checkout", "Check out", "check-out", `{service="search"}`, "購物車", "支付", `it's "a, b"` + "\n| ${x}", strings.Repeat("long-", 30), "-dash"}

// exported plans every name over two days, some of them beyond 100 instances.
func exported(t *testing.T, form string) ([]ServicePlan, string) {
	t.Helper()
	var plans []ServicePlan
	for i, name := range exportNames {
		f := given(demandOf(48))
		f.Series.Name = name
		p, err := MakePlan(f, PlanOptions{PerInstance: float64(10 + 15*i)})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Steps) < 2 {
			t.Fatalf("%d steps", len(p.Steps))
		}
		plans = append(plans, p)
	}
	flat := given(make([]float64, 24))
	flat.Series.Name = "idle"
	p, err := MakePlan(flat, PlanOptions{PerInstance: 1})
	if err != nil {
		t.Fatal(err)
	}
	plans = append(plans, p)
	var b bytes.Buffer
	if err := Export(&b, form, plans); err != nil {
		t.Fatal(err)
	}
	return plans, b.String()
}

var kubernetesName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// documentsOf reads YAML documents strictly into values of one type.
func documentsOf[T any](t *testing.T, text string) []T {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	var out []T
	for {
		var v T
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
}

// cronTime reads "minute hour day month *" as a time in the year of the plan.
func cronTime(t *testing.T, text string, year int) time.Time {
	t.Helper()
	var minute, hour, day, month int
	if n, err := fmt.Sscanf(text, "%d %d %d %d *", &minute, &hour, &day, &month); err != nil || n != 4 {
		t.Fatalf("cron %q: %v", text, err)
	}
	return time.Date(year, time.Month(month), day, hour, minute, 0, 0, time.UTC)
}

// KEDA takes the maximum over the triggers that are on, from start until end,
// and keeps the result within its limits: at every minute that must be the plan.
func TestKedaTriggersAreThePlan(t *testing.T) {
	plans, text := exported(t, "keda")
	type scaledObject struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       struct {
			ScaleTargetRef  struct{ Name string } `yaml:"scaleTargetRef"`
			MinReplicaCount int                   `yaml:"minReplicaCount"`
			MaxReplicaCount int                   `yaml:"maxReplicaCount"`
			Triggers        []struct {
				Type     string
				Metadata map[string]yaml.Node
			}
		}
	}
	objects := documentsOf[scaledObject](t, text)
	if len(objects) != len(plans) {
		t.Fatalf("%d objects for %d plans", len(objects), len(plans))
	}
	names := map[string]bool{}
	for i, o := range objects {
		p := &plans[i]
		if o.APIVersion != "keda.sh/v1alpha1" || o.Kind != "ScaledObject" || !kubernetesName.MatchString(o.Metadata.Name) || len(o.Metadata.Name) > 60 || names[o.Metadata.Name] {
			t.Errorf("object %+v", o)
		}
		names[o.Metadata.Name] = true
		type span struct {
			start, end time.Time
			replicas   int
		}
		var spans []span
		for _, trigger := range o.Spec.Triggers {
			m := trigger.Metadata
			s := span{start: cronTime(t, m["start"].Value, p.Start.Year()), end: cronTime(t, m["end"].Value, p.Start.Year())}
			var err error
			if s.replicas, err = strconv.Atoi(m["desiredReplicas"].Value); err != nil ||
				m["desiredReplicas"].Tag != "!!str" || m["timezone"].Value != "UTC" || s.start.Equal(s.end) || trigger.Type != "cron" {
				t.Fatalf("trigger %+v", trigger)
			}
			spans = append(spans, s)
		}
		for at := p.Start; at.Before(p.End.Add(6 * 24 * time.Hour)); at = at.Add(time.Minute) { // the last number stays
			replicas := 0
			for _, s := range spans {
				if !at.Before(s.start) && at.Before(s.end) {
					replicas = max(replicas, s.replicas)
				}
			}
			if replicas = min(max(replicas, o.Spec.MinReplicaCount), o.Spec.MaxReplicaCount); replicas != p.InstancesAt(at) {
				t.Fatalf("%q at %s: %d replicas, planned are %d", p.Service, at, replicas, p.InstancesAt(at))
			}
		}
	}
	if !strings.Contains(text, "# the plan ends at "+plans[0].End.Format(time.RFC3339)) {
		t.Error("nothing says when the plan ends")
	}
	if !names["search-plan"] || !names["check-out-plan"] || !names["check-out-2-plan"] || !names["service-plan"] || !names["service-2-plan"] {
		t.Errorf("names %v", names)
	}
}

func TestHPACronJobsAreThePlan(t *testing.T) {
	plans, text := exported(t, "hpa-cron")
	type cronHPA struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       struct {
			ScaleTargetRef struct {
				APIVersion string `yaml:"apiVersion"`
				Kind, Name string
			} `yaml:"scaleTargetRef"`
			Jobs []struct {
				Name, Schedule string
				TargetSize     int  `yaml:"targetSize"`
				RunOnce        bool `yaml:"runOnce"`
			}
		}
	}
	for i, o := range documentsOf[cronHPA](t, text) {
		p, seen := &plans[i], map[string]bool{}
		if o.APIVersion != "autoscaling.alibabacloud.com/v1beta1" || o.Kind != "CronHorizontalPodAutoscaler" || !kubernetesName.MatchString(o.Spec.ScaleTargetRef.Name) || len(o.Spec.Jobs) != len(p.Steps)+1 {
			t.Errorf("object %+v", o)
		}
		for _, job := range o.Spec.Jobs {
			fields, ok := strings.CutPrefix(job.Schedule, "0 ") // seconds come first
			at := cronTime(t, fields, p.Start.Year())
			if !ok || !job.RunOnce || seen[job.Name] || job.TargetSize != p.InstancesAt(at) {
				t.Errorf("%q: job %+v, planned at %s are %d", p.Service, job, at, p.InstancesAt(at))
			}
			seen[job.Name] = true
		}
	}
}

// The scripts are run by a shell in which aws, nomad and at are functions that
// print each of their words on a line.
func TestScriptsRunInAShell(t *testing.T) {
	for _, form := range []string{"aws", "nomad"} {
		plans, text := exported(t, form)
		shell := exec.Command("sh")
		shell.Stdin = strings.NewReader(`aws() { for w in "$@"; do printf '<%s>' "$w"; done; echo; }
nomad() { aws "$@"; }
at() { read -r line; while read -r more; do line="$line
$more"; done; eval "$line"; echo "at $2 in $TZ"; }
` + text)
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", form, err, out)
		}
		var want strings.Builder
		labels := map[string]bool{}
		for i := range plans {
			e := export{nil, &plans[i], uniqueLabel(plans[i].Service, labels)}
			for k, l := range e.levels() {
				switch {
				case form == "aws" && k == 0:
					fmt.Fprintf(&want, "<autoscaling><update-auto-scaling-group><--auto-scaling-group-name><%s><--min-size><%d><--desired-capacity><%d>\n", e.p.Service, l.To, l.To)
				case k == 0:
					fmt.Fprintf(&want, "<job><scale><%s><%d>\n", e.p.Service, l.To)
				case form == "aws":
					fmt.Fprintf(&want, "<autoscaling><put-scheduled-update-group-action><--auto-scaling-group-name><%s><--scheduled-action-name><%s-%d><--start-time><%s><--min-size><%d><--desired-capacity><%d>\n", e.p.Service, e.label, k, l.At.Format("2006-01-02T15:04:05Z"), l.To, l.To)
				default:
					fmt.Fprintf(&want, "<job><scale><%s><%d>\nat %s in UTC\n", e.p.Service, l.To, l.At.Format("200601021504"))
				}
			}
		}
		if string(out) != want.String() {
			t.Errorf("%s: the shell ran\n%s\nwant\n%s", form, out, want.String())
		}
	}
}

// A resource is a block of attributes, one a line (HCL native syntax, "Bodies");
// strings have no template inside.
func TestTerraformResourcesAreThePlan(t *testing.T) {
	plans, text := exported(t, "terraform")
	block := regexp.MustCompile(`(?s)\Aresource "aws_autoscaling_schedule" "([A-Za-z_][A-Za-z0-9_-]*)" \{\n(.*?)\n\}\n`)
	attribute := regexp.MustCompile(`^  ([a-z_]+) += ("(?:[^"\\]|\\.)*"|-?[0-9]+)$`)
	seen := map[string]bool{}
	for i := range plans {
		p := &plans[i]
		text, _ = strings.CutPrefix(text, fmt.Sprintf("# begins with %d instances of ", p.Instances))
		_, text, _ = strings.Cut(text, "\n")
		for range p.Steps {
			m := block.FindStringSubmatch(text)
			if m == nil {
				t.Fatalf("no block at %.200s", text)
			}
			text = text[len(m[0]):]
			if seen[m[1]] {
				t.Errorf("%s is there twice", m[1])
			}
			seen[m[1]] = true
			values := map[string]string{}
			for _, line := range strings.Split(m[2], "\n") {
				a := attribute.FindStringSubmatch(line)
				if a == nil {
					t.Fatalf("no attribute: %q", line)
				}
				values[a[1]] = a[2]
			}
			group, err := strconv.Unquote(strings.NewReplacer("$${", "${", "%%{", "%{").Replace(values["autoscaling_group_name"]))
			at, err2 := time.Parse(`"2006-01-02T15:04:05Z"`, values["start_time"])
			if err != nil || err2 != nil || group != p.Service || values["max_size"] != "-1" || values["min_size"] != values["desired_capacity"] || values["min_size"] != strconv.Itoa(p.InstancesAt(at)) {
				t.Errorf("%q: %v, planned are %d", p.Service, values, p.InstancesAt(at))
			}
			if regexp.MustCompile(`[^$]\$\{|[^%]%\{`).MatchString(values["autoscaling_group_name"]) {
				t.Errorf("a template in %s", values["autoscaling_group_name"])
			}
		}
	}
	if text != "" {
		t.Errorf("left over: %.200s", text)
	}
}

func TestTablesOfAPlan(t *testing.T) {
	plans, text := exported(t, "csv")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	_, marked := exported(t, "markdown")
	lines := strings.Split(strings.TrimSuffix(marked, "\n"), "\n")
	n := 1
	for _, p := range plans {
		for _, s := range p.Steps {
			want := []string{s.Service, s.At.Format(time.RFC3339), strconv.Itoa(s.From), strconv.Itoa(s.To), fmt.Sprintf("%.4f", s.Utilization), s.Reason}
			if strings.Join(rows[n], "\x00") != strings.Join(want, "\x00") {
				t.Errorf("row %q, want %q", rows[n], want)
			}
			if cells := regexp.MustCompile(`[^\\]\|`).FindAllString(lines[n+1], -1); len(cells) != 6 {
				t.Errorf("%d cells in %q", len(cells), lines[n+1])
			}
			n++
		}
	}
	if n != len(rows) || n+1 != len(lines) {
		t.Errorf("%d rows and %d lines for %d steps", len(rows), len(lines), n-1)
	}
}
