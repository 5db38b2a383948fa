package forecast

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Exports are the forms that Export writes.
var Exports = []string{"keda", "hpa-cron", "aws", "nomad", "terraform", "csv", "markdown"}

// Export writes plans for the system that carries them out. All times are UTC.
// Kubernetes and Terraform get names that they accept, each once: letters,
// digits and dashes; what it was called is in a comment beside it. The forms
// that are not tables begin with the instances at the start of the plan.
func Export(w io.Writer, form string, plans []ServicePlan) error {
	if !slices.Contains(Exports, form) {
		return fmt.Errorf("%w: form %q is not one of %s", ErrPlan, form, strings.Join(Exports, ", "))
	}
	var b strings.Builder
	switch form {
	case "csv":
		b.WriteString("service,at,from,to,expected_utilization_ratio,reason\n")
	case "markdown":
		b.WriteString("| service | at | from | to | expected utilization | reason |\n|---|---|---:|---:|---:|---|\n")
	case "aws":
		b.WriteString("#!/bin/sh\nset -e\n")
	case "nomad":
		b.WriteString("#!/bin/sh\nset -e\nexport TZ=UTC # at(1) reads times in this zone\n")
	}
	labels := map[string]bool{}
	for i := range plans {
		p := &plans[i]
		if form == "csv" || form == "markdown" {
			for _, s := range p.Steps {
				s.row(&b, form)
			}
			continue
		}
		e := export{&b, p, uniqueLabel(p.Service, labels)}
		map[string]func(){"keda": e.keda, "hpa-cron": e.hpaCron, "aws": e.aws, "nomad": e.nomad, "terraform": e.terraform}[form]()
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// An export writes the plan of one service, called label where names are narrow.
type export struct {
	*strings.Builder
	p     *ServicePlan
	label string
}

func (e export) printf(format string, args ...any) { fmt.Fprintf(e, format, args...) }

// levels are the numbers of instances with the time from which each holds.
func (e export) levels() []PlanStep {
	return append([]PlanStep{{Service: e.p.Service, At: e.p.Start, To: e.p.Instances}}, e.p.Steps...)
}

// most returns the highest number of instances.
func (e export) most() int {
	n := 0
	for _, l := range e.levels() {
		n = max(n, l.To)
	}
	return n
}

// oneLabel is the name of a metric that tells its services by one label.
var oneLabel = regexp.MustCompile(`^\{[A-Za-z_]+=("(?:[^"\\]|\\.)*")\}$`)

// uniqueLabel spells a name as Kubernetes and Terraform accept it, differently
// for each name in one output; {service="checkout"} is checkout.
func uniqueLabel(name string, taken map[string]bool) string {
	if m := oneLabel.FindStringSubmatch(name); m != nil {
		if value, err := strconv.Unquote(m[1]); err == nil {
			name = value
		}
	}
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	s := strings.Join(words, "-")
	s = strings.Trim(s[:min(len(s), 50)], "-")
	if s == "" {
		s = "service"
	}
	out := s
	for n := 2; taken[out]; n++ {
		out = fmt.Sprintf("%s-%d", s, n)
	}
	taken[out] = true
	return out
}

// until says when the plan ends, and what holds then.
func (e export) until(then string) {
	e.printf("# the plan ends at %s; %s\n", e.p.End.UTC().Format(time.RFC3339), then)
}

// lastHolds is what holds after the end of a plan that nothing takes back.
const lastHolds = "its last number holds until another one is applied"

// comment names the service where its label does not.
func (e export) comment() string {
	if e.label == e.p.Service {
		return ""
	}
	return fmt.Sprintf(" # %q", e.p.Service)
}

// cron is the minute, hour, day and month of a time; it comes again in a year.
func cron(t time.Time) string {
	t = t.UTC()
	return fmt.Sprintf("%d %d %d %d *", t.Minute(), t.Hour(), t.Day(), int(t.Month()))
}

// keda writes a ScaledObject (keda.sh, cron scaler). KEDA takes the maximum over
// its triggers, so spans do not overlap; start and end must differ, and numbers
// of replicas are strings. Without maxReplicaCount it would stop at 100. When no
// trigger is on, it goes to minReplicaCount, which is the valley of the plan: so
// the last span goes on for a week, in which the next plan can come.
func (e export) keda() {
	levels := e.levels()
	least := e.p.Instances
	for _, l := range levels {
		least = min(least, l.To)
	}
	const grace = 7 * 24 * time.Hour
	e.printf("---\n")
	e.until("its last number holds for a week more, and then minReplicaCount")
	e.printf("apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata:\n  name: %q\nspec:\n  scaleTargetRef:\n    name: %q%s\n", e.label+"-plan", e.label, e.comment())
	e.printf("  minReplicaCount: %d\n  maxReplicaCount: %d\n  triggers:\n", least, e.most())
	for i, l := range levels {
		end := e.p.End.Add(grace)
		if i+1 < len(levels) {
			end = levels[i+1].At
		}
		if cron(l.At) == cron(end) { // within a minute, or a year long
			continue
		}
		e.printf("    - type: cron\n      metadata:\n        timezone: UTC\n        start: %q\n        end: %q\n        desiredReplicas: %q\n", cron(l.At), cron(end), strconv.Itoa(l.To))
	}
}

// hpaCron writes a CronHorizontalPodAutoscaler (kubernetes-cronhpa-controller),
// whose schedules have seconds first.
func (e export) hpaCron() {
	e.printf("---\n# the controller must run with TZ=UTC; a job whose time has passed waits for a year\n")
	e.until(lastHolds)
	e.printf("apiVersion: autoscaling.alibabacloud.com/v1beta1\nkind: CronHorizontalPodAutoscaler\nmetadata:\n  name: %q\nspec:\n  scaleTargetRef:\n    apiVersion: apps/v1\n    kind: Deployment\n    name: %q%s\n  jobs:\n", e.label+"-plan", e.label, e.comment())
	for i, l := range e.levels() {
		e.printf("    - name: %q\n      schedule: %q\n      targetSize: %d\n      runOnce: true\n", fmt.Sprintf("step-%d", i), "0 "+cron(l.At), l.To)
	}
}

// aws writes scheduled actions of an Auto Scaling group (API reference,
// PutScheduledUpdateGroupAction). The maximum of the group stays as it is.
func (e export) aws() {
	group := shellWord(e.p.Service)
	e.printf("# the group must allow %d instances; a group has 125 scheduled actions at most, and this plan has %d\n", e.most(), len(e.p.Steps))
	e.until(lastHolds)
	e.printf("aws autoscaling update-auto-scaling-group --auto-scaling-group-name %s --min-size %d --desired-capacity %d\n", group, e.p.Instances, e.p.Instances)
	for i, s := range e.p.Steps {
		e.printf("aws autoscaling put-scheduled-update-group-action --auto-scaling-group-name %s --scheduled-action-name %s-%d --start-time %s --min-size %d --desired-capacity %d\n",
			group, e.label, i+1, s.At.UTC().Format(time.RFC3339), s.To, s.To)
	}
}

// nomad writes jobs of at(1) that scale a job of one group.
func (e export) nomad() {
	scale := func(n int) string { return fmt.Sprintf("nomad job scale %s %d", shellWord(e.p.Service), n) }
	e.until(lastHolds)
	e.printf("%s\n", scale(e.p.Instances))
	for _, s := range e.p.Steps {
		e.printf("echo %s | at -t %s\n", shellWord(scale(s.To)), s.At.UTC().Format("200601021504"))
	}
}

// terraform writes resources of the AWS provider; -1 leaves the maximum alone.
func (e export) terraform() {
	quote := func(s string) string { // HCL: no templates, and escapes as in JSON
		q := strings.NewReplacer("${", "$${", "%{", "%%{", `\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s)
		return `"` + q + `"`
	}
	e.printf("# begins with %d instances of %s; ends at %s, and %s\n", e.p.Instances, quote(e.p.Service), e.p.End.UTC().Format(time.RFC3339), lastHolds)
	for i, l := range e.p.Steps {
		e.printf("resource \"aws_autoscaling_schedule\" \"plan_%s_%d\" {\n  scheduled_action_name  = \"%s-%d\"\n  autoscaling_group_name = %s\n  start_time             = \"%s\"\n  min_size               = %d\n  max_size               = -1\n  desired_capacity       = %d\n}\n",
			strings.ReplaceAll(e.label, "-", "_"), i+1, e.label, i+1, quote(e.p.Service), l.At.UTC().Format(time.RFC3339), l.To, l.To)
	}
}

// shellWord quotes a word of sh where it must be.
func shellWord(s string) string {
	plain := func(r rune) bool { return strings.ContainsRune("-_./:@%+=,", r) }
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !plain(r) && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// row writes a step in the forms that are tables.
func (s PlanStep) row(b *strings.Builder, form string) {
	at := s.At.UTC().Format(time.RFC3339)
	if form == "csv" {
		fmt.Fprintf(b, "%s,%s,%d,%d,%.4f,%s\n", CSVField(s.Service), at, s.From, s.To, s.Utilization, CSVField(s.Reason))
		return
	}
	name := strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ").Replace(s.Service)
	fmt.Fprintf(b, "| %s | %s | %d | %d | %.0f %% | %s |\n", name, at, s.From, s.To, 100*s.Utilization, s.Reason)
}

// CSVField quotes a text where CSV must have it quoted (RFC 4180, section 2).
func CSVField(s string) string {
	if strings.ContainsAny(s, ",\"\r\n") || strings.HasPrefix(s, " ") {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}
