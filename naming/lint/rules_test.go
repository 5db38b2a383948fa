//go:build unix

package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/naming/lint"
)

// A ruleCase is a tree that breaks a rule and one that is close to it and does
// not. Both begin with a clean fleet.
type ruleCase struct {
	breaks, keeps func(t *testing.T, root string, o *lint.Options)
}

// put sets a file of all six instances of a service, or of those of one
// environment; %e and %i become the environment and the instance.
func put(t *testing.T, root, service, env, name, text string) {
	t.Helper()
	for _, e := range []string{"test", "prod"} {
		for i := range 3 {
			if env == "" || env == e {
				r := strings.NewReplacer("%e", e, "%i", fmt.Sprint(i))
				write(t, root, fmt.Sprintf("%s/%s/%s-%d/conf/%s", service, e, service, i, r.Replace(name)), r.Replace(text))
			}
		}
	}
}

func all(name, text string) func(*testing.T, string, *lint.Options) {
	return func(t *testing.T, root string, _ *lint.Options) { put(t, root, "svcb", "", name, text) }
}

func inEnv(env, text string) func(*testing.T, string, *lint.Options) {
	return func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.yaml", "a: 1\nb: ns/svcb.db\n")
		put(t, root, "svcb", env, "x.yaml", text)
	}
}

func onOne(text string) func(*testing.T, string, *lint.Options) {
	return func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.yaml", "a: 1\nb: ns/svcb.db\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.yaml", text)
	}
}

func service(lines ...string) func(*testing.T, string, *lint.Options) {
	return func(t *testing.T, root string, _ *lint.Options) {
		write(t, root, "svcb/service.yaml", "service: svcb\nversion: 1.0.1\n"+strings.Join(lines, "\n")+"\n")
	}
}

func inventory(t *testing.T, o *lint.Options, text string) {
	t.Helper()
	v, err := lint.ReadInventory([]byte(text))
	check(t, err)
	o.Inventory = v
}

func nothing(*testing.T, string, *lint.Options) {}

// block gives n services the same block of keys; the last has another value if odd.
func block(n int, odd bool) func(*testing.T, string, *lint.Options) {
	return func(t *testing.T, root string, _ *lint.Options) {
		for s := range n {
			rate := 10
			if odd && s == n-1 {
				rate = 20
			}
			put(t, root, fmt.Sprintf("svc%c", 'a'+s), "", "trace.yaml", fmt.Sprintf("name: %d\ntracing:\n  sink: ns/trace\n  rate: %d\n  flush: 250\n  depth: 9\n", s, rate))
		}
	}
}

const overlayKind = "kind: Kustomization\nresources: [../../base]\n"

func overlays(third string) func(*testing.T, string, *lint.Options) {
	return func(t *testing.T, root string, _ *lint.Options) {
		for i, env := range []string{"dev", "staging", "prod"} {
			text := "sort: up\n"
			if i == 2 {
				text = third
			}
			write(t, root, "shop/overlays/"+env+"/kustomization.yaml", overlayKind)
			write(t, root, "shop/overlays/"+env+"/web.yaml", text)
		}
	}
}

var ruleCases = map[string]ruleCase{
	"WX101": {onOne("a: 2\nb: ns/svcb.db\n"), onOne("a: 1\nb: ns/svcb.db\n")},
	"WX102": {inEnv("prod", "a: 2\nb: ns/svcb.db\n"), inEnv("prod", "a: 1\nb: ns/svcb.db\n")},
	"WX103": {onOne("b: \"ns/svcb.db\"\na: 1\n"), onOne("b: ns/svcb.dc\na: 1\n")},
	"WX104": {func(t *testing.T, root string, _ *lint.Options) {
		write(t, root, "svcb/prod/service.yaml", "service: svcb\nversion: 1.0.9\ntier: logic\ndata: none\nslice: 2C4G\ncloud: true\n")
	}, func(t *testing.T, root string, _ *lint.Options) {
		write(t, root, "svcb/prod/service.yaml", "service: svcb\nversion: 1.0.1\ntier: logic\ndata: none\nslice: 2C4G\ncloud: true\n")
	}},
	"WX105": {onOne("a: 1\n"), onOne("a: 1\nb: ns/svcb.other\n")},
	"WX201": {onOne("a: 1\nb: 10.16.1.11\n"), onOne("a: 1\nb: 10.16.0.0/16\n")},
	"WX202": {func(t *testing.T, root string, o *lint.Options) {
		inventory(t, o, "instances: [{service: svcb, env: prod, instance: svcb-1, host: web17.idc2.local}]")
		onOne("a: 1\nb: web17.idc2.local\n")(t, root, o)
	}, func(t *testing.T, root string, o *lint.Options) {
		inventory(t, o, "instances: [{service: svcb, env: prod, instance: svcb-1, host: web17.idc2.local}]")
		onOne("a: 1\nb: web18.idc2.local\n")(t, root, o)
	}},
	"WX203": {onOne("a: 1\nb: svcb-1\n"), onOne("a: 1\nb: svcb-12\n")},
	"WX204": {all("svcb-%i.yaml", "a: 1\n"), all("svcb.yaml", "a: 1\n")},
	"WX301": {inEnv("prod", "a: prod\nb: ns/svcb.db\n"), inEnv("prod", "a: product\nb: ns/svcb.db\n")},
	"WX302": {inEnv("prod", "a: 1\nb: db.prod.corp.local:3306\n"), inEnv("prod", "a: 1\nb: prod\n")},
	"WX303": {inEnv("prod", "a: 1\nb: db.test.corp.local:3306\n"), inEnv("prod", "a: 1\nb: db.contest.corp.local:3306\n")},
	"WX304": {func(t *testing.T, root string, _ *lint.Options) {
		write(t, root, "chart/templates/web.yaml", "{{ if eq .Values.env \"prod\" }}\nreplicas: 3\n{{ end }}\n")
	}, func(t *testing.T, root string, _ *lint.Options) {
		write(t, root, "chart/templates/web.yaml", "{{ if eq .Values.size \"large\" }}\nreplicas: 3\n{{ end }}\n")
	}},
	"WX401": {block(5, false), block(4, false)},
	"WX402": {block(6, true), block(6, false)},
	"WX403": {overlays("sort: up\n"), overlays("sort: down\n")},
	"WX501": {func(t *testing.T, root string, _ *lint.Options) { remove(t, root, app) }, nothing},
	"WX502": {func(t *testing.T, root string, _ *lint.Options) {
		write(t, root, "svcb/prod/svcb-1/conf/zz.yaml", "a: 1\n")
	}, all("zz.yaml", "a: 1\n")},
	"WX503": {func(t *testing.T, root string, _ *lint.Options) { move(t, root, app, app+".bak") }, func(t *testing.T, root string, _ *lint.Options) {
		remove(t, root, app)
		write(t, root, app+".bak", "a: 1\n")
	}},
	"WX504": {func(t *testing.T, root string, _ *lint.Options) { check(t, os.Chmod(filepath.Join(root, app), 0o666)) }, nothing},
	"WX505": {func(t *testing.T, root string, _ *lint.Options) {
		remove(t, root, app)
		check(t, os.Symlink("log.json", filepath.Join(root, app)))
	}, func(t *testing.T, root string, _ *lint.Options) {
		remove(t, root, app)
		check(t, os.Link(filepath.Join(root, strings.Replace(app, "svcb-1", "svcb-2", 1)), filepath.Join(root, app)))
	}},
	"WX506": {onOne("a: 1\r\nb: ns/svcb.db\r\n"), all("x.yaml", "a: 1\r\n")},
	"WX507": {onOne("\xef\xbb\xbfa: 1\nb: ns/svcb.db\n"), all("x.yaml", "\xef\xbb\xbfa: 1\n")},
	"WX508": {onOne("a: 1\nb: ns/svcb.db\n# caf\xe9\n"), onOne("a: 1\nb: ns/svcb.db\n# caf\xc3\xa9\n")},
	"WX509": {onOne("a: 1\nb: ns/svcb.db"), all("x.yaml", "a: 1")},
	"WX510": {func(t *testing.T, root string, o *lint.Options) {
		o.Layouts = []string{"{service}/{env}/{instance}/conf/{file...}"}
		write(t, root, "svcb/prod/notes.yaml", "a: 1\n")
	}, func(_ *testing.T, _ string, o *lint.Options) {
		o.Layouts = []string{"{service}/{env}/{instance}/conf/{file...}"}
	}},
	"WX511": {func(t *testing.T, root string, _ *lint.Options) { write(t, root, app+"~", "a: 1\n") }, func(t *testing.T, root string, _ *lint.Options) { write(t, root, app+"x", "a: 1\n") }},
	"WX512": {all("x.yaml", "a: [1\nb: 2\n"), all("x.yaml.j2", "a: [1\nb: 2\n")},
	"WX513": {all("x.yaml", "a: 1\nb: 2\na: 3\n"), all("x.yaml", "a: {a: 1}\nb: 2\n")},
	"WX601": {all("x.yaml", "db: 10.201.3.4:3306\n"), all("x.yaml", "db: 127.0.0.1:3306\nagent_version: 10.201.3.4\n")},
	"WX602": {all("x.yaml", "db_password: Zq8x77kk\n"), all("x.yaml", "db_password: ${DB_PASSWORD}\npassword_length: 12\n")},
	"WX603": {all("x.yaml", "db_password: changeme\n"), all("x.yaml", "db_password: vault:secret/db\n")},
	"WX604": {func(t *testing.T, root string, o *lint.Options) {
		inventory(t, o, `{"Names": ["svcb.db", "ns/shared.tracing"]}`)
		put(t, root, "svcb", "", "x.yaml", "db: ns/svcb.bd\ntracing: ns/shared.tracing\n")
	}, func(t *testing.T, root string, o *lint.Options) {
		inventory(t, o, `{"Names": ["svcb.db", "ns/shared.tracing"]}`)
		put(t, root, "svcb", "", "x.yaml", "db: ns/svcb.db\ntracing: ns/shared.tracing\n")
	}},
	"WX701": {service("tier: access", "data: cache-long"), service("tier: access", "data: none")},
	"WX702": {service("tier: logic", "data: persistent", "slice: 2C4G"), service("tier: logic", "data: cache-short", "slice: 2C4G")},
	"WX703": {service("tier: storage", "data: none"), service("tier: storage", "data: persistent")},
	"WX704": {service("tier: logic", "data: cache-short", "cache_ttl: 30d", "slice: 2C4G"), service("tier: logic", "data: cache-short", "cache_ttl: 60m", "slice: 2C4G")},
	"WX801": {service("tier: logic", "data: none", "cloud: true"), service("tier: logic", "data: none", "cloud: true", "slice: 2c4g")},
	"WX802": {service("tier: logic", "data: none", "slice: 3c5g"), service("tier: logic", "data: none", "slice: 2C4G")},
	"WX803": {service("tier: logic", "data: none", "cloud: false"), service("tier: logic", "data: none", "cloud: false", "waivers: [{rule: WX803, reason: moving, until: 2026-12-31}]")},
	"WX804": {service("tier: storage", "data: persistent", "cloud: true", "slice: 2C4G"), service("tier: storage", "data: persistent", "cloud: false")},
	"WX902": {func(_ *testing.T, _ string, o *lint.Options) {
		o.Suppress = []lint.Suppression{{Rule: "WX101", Reason: "kept", Key: "gone"}}
	}, func(t *testing.T, root string, o *lint.Options) {
		onOne("a: 2\nb: ns/svcb.db\n")(t, root, o)
		o.Suppress = []lint.Suppression{{Rule: "WX101", Reason: "kept", Key: "a"}}
	}},
	"WX903": {
		service("tier: logic", "data: none", "cloud: false", "waivers: [{rule: WX803, reason: moving, until: 2026-05-31}]"),
		service("tier: logic", "data: none", "cloud: false", "waivers: [{rule: WX803, reason: moving, until: 2026-06-01}]"),
	},
}

// Every rule speaks where it is broken and is silent where it is nearly broken,
// and says why it is, with an example and the fix.
func TestEveryRuleSpeaksAndIsSilent(t *testing.T) {
	for _, r := range lint.Rules() {
		if r.Why == "" || r.Example == "" || r.Fix == "" || r.Name == "" {
			t.Errorf("%s is not explained", r.ID)
		}
		c, ok := ruleCases[r.ID]
		if !ok {
			if r.ID != "WX901" { // baselines have a test of their own
				t.Errorf("%s has no case", r.ID)
			}
			continue
		}
		for i, change := range []func(*testing.T, string, *lint.Options){c.breaks, c.keeps} {
			services := 2
			if strings.HasPrefix(r.ID, "WX4") {
				services = 6
			}
			root := fleet(t, services)
			o := lint.Options{Today: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
			change(t, root, &o)
			report := run(t, lint.Dir(root), o)
			at := slices.IndexFunc(report.Findings, func(f lint.Finding) bool { return f.Rule == r.ID })
			if spoke := at >= 0; spoke != (i == 0) {
				t.Errorf("%s %s: broken %v, reported %v:\n%s", r.ID, r.Name, i == 0, spoke, brief(report))
				continue
			}
			if at >= 0 && report.Findings[at].Severity != r.Severity {
				t.Errorf("%s is %s, want %s", r.ID, report.Findings[at].Severity, r.Severity)
			}
			// The most specific rule silences the others on the same fact.
			if i == 0 && !slices.Contains([]string{"WX104", "WX402", "WX505", "WX903"}, r.ID) && len(report.Findings) != 1 {
				t.Errorf("%s: more than one finding for one cause:\n%s", r.ID, brief(report))
			}
		}
	}
}

// The severities of the contract.
func TestSeveritiesAreThoseOfTheContract(t *testing.T) {
	want := map[string]lint.Severity{
		"WX103": lint.Warning, "WX204": lint.Warning, "WX304": lint.Warning, "WX401": lint.Warning, "WX502": lint.Warning, "WX511": lint.Warning,
		"WX603": lint.Warning, "WX604": lint.Warning, "WX704": lint.Warning, "WX804": lint.Warning, "WX901": lint.Warning, "WX902": lint.Warning,
		"WX104": lint.Info, "WX403": lint.Info, "WX509": lint.Info,
	}
	for _, r := range lint.Rules() {
		if w, ok := want[r.ID]; ok && r.Severity != w || !ok && r.Severity != lint.Error {
			t.Errorf("%s is %s", r.ID, r.Severity)
		}
	}
	if n := len(lint.Rules()); n != 44 {
		t.Errorf("%d rules", n)
	}
}

// A baseline silences what it lists as long as it has no more places and has
// not expired, and an entry that matches nothing is a finding.
func TestBaselineSilencesAndGoesStale(t *testing.T) {
	root := fleet(t, 2)
	edit(t, root, app, "ttl: 60", "ttl: 90")
	o := lint.Options{Today: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	base, err := lint.ReadBaseline(lint.NewBaseline(run(t, lint.Dir(root), o), "old"))
	check(t, err)
	under := func(b lint.Baseline) (string, int) {
		r := run(t, lint.Dir(root), o)
		r.ApplyBaseline(b, "base.yaml", o)
		return brief(r), r.Summary.Suppressed
	}
	if got, n := under(base); got != "" || n != 1 {
		t.Errorf("found %q, %d suppressed", got, n)
	}
	expired := base
	expired.Entries = slices.Clone(base.Entries)
	expired.Entries[0].Until = time.Date(2026, 5, 31, 0, 0, 0, 0, time.UTC)
	if got, n := under(expired); got != "WX101 cache.ttl 1" || n != 0 {
		t.Errorf("after its end: found %q, %d suppressed", got, n)
	}
	// One place more is new; the same cause on another line is not.
	edit(t, root, app, "# of", "# of\n# of")
	put(t, root, "svcb", "", "app.yaml", "# of\n# of\npool:\n  size: 11\n  wait: 5\ncache:\n  ttl: 60\n")
	edit(t, root, app, "ttl: 60", "ttl: 90")
	if got, n := under(base); got != "" || n != 1 {
		t.Errorf("two lines further down: found %q, %d suppressed", got, n)
	}
	edit(t, root, "svcb/test/svcb-1/conf/app.yaml", "ttl: 60", "ttl: 90")
	if got, n := under(base); got != "WX101 cache.ttl 2" || n != 0 {
		t.Errorf("with a place more: found %q, %d suppressed", got, n)
	}
	edit(t, root, "svcb/test/svcb-1/conf/app.yaml", "ttl: 90", "ttl: 60")
	edit(t, root, app, "ttl: 90", "ttl: 60")
	if got, n := under(base); got != "WX901  1" || n != 0 {
		t.Errorf("after the repair: found %q, %d suppressed", got, n)
	}
}
