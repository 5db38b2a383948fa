package forecast

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Exports are the forms that Export writes.
var Exports = []string{"keda", "hpa-cron", "aws", "nomad", "terraform", "csv", "markdown"}

// Export writes plans for the system that carries them out. All times are UTC.
// Names that a system does not accept are spelled with dashes.
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
	case "aws", "nomad":
		b.WriteString("#!/bin/sh\nset -e\n")
	}
	for i := range plans {
		p := &plans[i]
		switch form {
		case "keda":
			p.keda(&b)
		case "hpa-cron":
			p.hpaCron(&b)
		default:
			for k, s := range p.Steps {
				p.line(&b, form, k, s)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// label spells a name as Kubernetes, AWS and Terraform accept it.
func label(name string) string {
	out := []byte(strings.ToLower(name))
	for i, c := range out {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			out[i] = '-'
		}
	}
	s := strings.Trim(string(out), "-")
	if s == "" {
		return "service"
	}
	return s[:min(len(s), 50)]
}

// cron is the minute, hour, day and month of a time; it comes again in a year.
func cron(t time.Time) string {
	t = t.UTC()
	return fmt.Sprintf("%d %d %d %d *", t.Minute(), t.Hour(), t.Day(), int(t.Month()))
}

// keda writes a ScaledObject (keda.sh, cron scaler). KEDA takes the maximum over
// its triggers, so spans must not overlap; start and end must differ, and numbers
// of replicas are strings.
func (p *ServicePlan) keda(b *strings.Builder) {
	least := p.Instances
	for _, s := range p.Steps {
		least = min(least, s.To)
	}
	name := label(p.Service)
	fmt.Fprintf(b, "---\napiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata:\n  name: %q\nspec:\n  scaleTargetRef:\n    name: %q\n  minReplicaCount: %d\n  triggers:\n", name+"-plan", name, least)
	at, n := p.Start, p.Instances
	span := func(end time.Time) {
		if !end.After(at) || cron(at) == cron(end) {
			return
		}
		fmt.Fprintf(b, "    - type: cron\n      metadata:\n        timezone: UTC\n        start: %q\n        end: %q\n        desiredReplicas: %q\n", cron(at), cron(end), strconv.Itoa(n))
	}
	for _, s := range p.Steps {
		span(s.At)
		at, n = s.At, s.To
	}
	span(p.End)
}

// hpaCron writes a CronHorizontalPodAutoscaler (kubernetes-cronhpa-controller),
// whose schedules have seconds first.
func (p *ServicePlan) hpaCron(b *strings.Builder) {
	name := label(p.Service)
	fmt.Fprintf(b, "---\napiVersion: autoscaling.alibabacloud.com/v1beta1\nkind: CronHorizontalPodAutoscaler\nmetadata:\n  name: %q\nspec:\n  scaleTargetRef:\n    apiVersion: apps/v1\n    kind: Deployment\n    name: %q\n  jobs:", name+"-plan", name)
	if len(p.Steps) == 0 {
		b.WriteString(" []\n")
		return
	}
	b.WriteByte('\n')
	for i, s := range p.Steps {
		fmt.Fprintf(b, "    - name: %q\n      schedule: %q\n      targetSize: %d\n      runOnce: true\n", fmt.Sprintf("step-%d", i+1), "0 "+cron(s.At), s.To)
	}
}

// line writes one step in the forms that have one piece of text for each.
func (p *ServicePlan) line(b *strings.Builder, form string, k int, s PlanStep) {
	at, name := s.At.UTC().Format(time.RFC3339), label(s.Service)
	switch form {
	case "aws":
		fmt.Fprintf(b, "aws autoscaling put-scheduled-update-group-action --auto-scaling-group-name %s --scheduled-action-name %s-%d --start-time %s --min-size %d --desired-capacity %d\n", name, name, k+1, at, s.To, s.To)
	case "nomad":
		fmt.Fprintf(b, "echo 'nomad job scale %s %d' | at -t %s # UTC, %d to %d\n", name, s.To, s.At.UTC().Format("200601021504"), s.From, s.To)
	case "terraform":
		fmt.Fprintf(b, "resource \"aws_autoscaling_schedule\" \"%s_%d\" {\n  scheduled_action_name  = \"%s-%d\"\n  autoscaling_group_name = \"%s\"\n  start_time             = \"%s\"\n  min_size               = %d\n  max_size               = -1\n  desired_capacity       = %d\n}\n", strings.ReplaceAll("s-"+name, "-", "_"), k+1, name, k+1, name, at, s.To, s.To)
	case "csv":
		fmt.Fprintf(b, "%s,%s,%d,%d,%.4f,%s\n", quoted(s.Service), at, s.From, s.To, s.Utilization, quoted(s.Reason))
	case "markdown":
		fmt.Fprintf(b, "| %s | %s | %d | %d | %.0f %% | %s |\n", strings.NewReplacer("|", "\\|", "\n", " ").Replace(s.Service), at, s.From, s.To, 100*s.Utilization, s.Reason)
	}
}

// quoted is a CSV field.
func quoted(s string) string {
	if strings.ContainsAny(s, ",\"\r\n") {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}
