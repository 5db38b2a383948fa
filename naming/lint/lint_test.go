//go:build unix

package lint_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxops/wxops/naming/lint"
)

// fleet writes a tree of services with two environments and three instances
// each; every file is the same everywhere.
func fleet(t *testing.T, services int) string {
	t.Helper()
	root := t.TempDir()
	for s := range services {
		name := fmt.Sprintf("svc%c", 'a'+s)
		write(t, root, name+"/service.yaml", fmt.Sprintf("service: %s\nversion: 1.0.%d\ntier: logic\ndata: none\nslice: 2C4G\ncloud: true\n", name, s))
		for _, env := range []string{"test", "prod"} {
			for i := range 3 {
				dir := fmt.Sprintf("%s/%s/%s-%d/conf/", name, env, name, i)
				write(t, root, dir+"app.yaml", fmt.Sprintf("# of %s\npool:\n  size: %d\n  wait: 5\ncache:\n  ttl: 60\n", name, s+10))
				write(t, root, dir+"log.json", "{\"level\": \"info\", \"sinks\": [{\"name\": \"a\", \"size\": 1}]}\n")
			}
		}
	}
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, s lint.Source, o lint.Options) *lint.Report {
	t.Helper()
	r, err := lint.Run(context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// brief is the rules, keys and places of a report.
func brief(r *lint.Report) string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %d", f.Rule, f.Key, f.Places)))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

const app = "svcb/prod/svcb-1/conf/app.yaml"

func TestOneCauseIsOneFinding(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, root string)
		want   string
	}{
		{"clean", func(*testing.T, string) {}, ""},
		{"value", func(t *testing.T, r string) { edit(t, r, app, "ttl: 60", "ttl: 90") }, "WX101 cache.ttl 1"},
		{"key gone", func(t *testing.T, r string) { edit(t, r, app, "  wait: 5\n", "") }, "WX105 pool.wait 1"},
		{"comment", func(t *testing.T, r string) { edit(t, r, app, "# of", "# for") }, "WX103  1"},
		{"order", func(t *testing.T, r string) {
			edit(t, r, app, "  size: 11\n  wait: 5\n", "  wait: 5\n  size: 11\n")
		}, "WX103  1"},
		{"own index", func(t *testing.T, r string) { edit(t, r, app, "ttl: 60", "ttl: svcb-1") }, "WX203 cache.ttl 1"},
		{"line ends", func(t *testing.T, r string) { edit(t, r, app, "\n", "\r\n") }, "WX506  1"},
		{"mark", func(t *testing.T, r string) { edit(t, r, app, "# of", "\xef\xbb\xbf# of") }, "WX507  1"},
		{"encoding", func(t *testing.T, r string) { edit(t, r, app, "# of", "# caf\xe9") }, "WX508  1"},
		{"newline", func(t *testing.T, r string) { edit(t, r, app, "ttl: 60\n", "ttl: 60") }, "WX509  1"},
		{"broken", func(t *testing.T, r string) { edit(t, r, app, "cache:", "\t: : [{ broken") }, "WX512  1"},
		{"duplicate", func(t *testing.T, r string) { edit(t, r, app, "  wait: 5\n", "  wait: 5\n  wait: 6\n") }, "WX513 pool.wait 1"},
		{"secret", func(t *testing.T, r string) { edit(t, r, app, "ttl: 60", "db_password: Zq8!x77") }, "WX105 cache.ttl 1\nWX602 cache.db_password 1"},
		{"missing", func(t *testing.T, r string) { remove(t, r, app) }, "WX501  1"},
		{"missing folder", func(t *testing.T, r string) { remove(t, r, filepath.Dir(app)) }, "WX501  1"},
		{"renamed", func(t *testing.T, r string) { move(t, r, app, app+".bak") }, "WX503  1"},
		{"extra", func(t *testing.T, r string) { write(t, r, filepath.Dir(app)+"/zz.yaml", "a: 1\n") }, "WX502  1"},
		{"leftover", func(t *testing.T, r string) { write(t, r, app+"~", "a: 1\n") }, "WX511  1"},
		{"mode", func(t *testing.T, r string) { check(t, os.Chmod(filepath.Join(r, app), 0o600)) }, "WX504  1"},
		{"link", func(t *testing.T, r string) {
			move(t, r, app, "svcb/prod/svcb-1/app.yaml")
			check(t, os.Symlink("../app.yaml", filepath.Join(r, app)))
		}, "WX505  1"},
		{"pipe", func(t *testing.T, r string) {
			remove(t, r, app)
			check(t, syscall.Mkfifo(filepath.Join(r, app), 0o644))
		}, "WX505  1"},
		{"environment", func(t *testing.T, r string) {
			for i := range 3 {
				edit(t, r, fmt.Sprintf("svcb/prod/svcb-%d/conf/app.yaml", i), "ttl: 60", "ttl: db.test.corp.local:3306")
			}
		}, "WX303 cache.ttl 3"},
		{"own environment", func(t *testing.T, r string) {
			for i := range 3 {
				edit(t, r, fmt.Sprintf("svcb/prod/svcb-%d/conf/app.yaml", i), "ttl: 60", "ttl: prod")
			}
		}, "WX301 cache.ttl 3"},
		{"layer", func(t *testing.T, r string) { edit(t, r, "svcb/service.yaml", "data: none", "data: persistent") }, "WX702 data 1"},
		{"gate", func(t *testing.T, r string) { edit(t, r, "svcb/service.yaml", "cloud: true", "cloud: false") }, "WX803 cloud 1"},
		{"waiver", func(t *testing.T, r string) {
			edit(t, r, "svcb/service.yaml", "cloud: true", "cloud: false\nwaivers: [{rule: WX803, reason: moving, until: 2026-12-31}]")
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fleet(t, 3)
			c.change(t, root)
			o := lint.Options{Today: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
			r := run(t, lint.Dir(root), o)
			if got := brief(r); got != c.want {
				t.Errorf("found\n%s\nwant\n%s", got, c.want)
			}
			for _, f := range r.Findings {
				if strings.Contains(f.Message, "Zq8") {
					t.Errorf("a credential is in %q", f.Message)
				}
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, root, name, old, now string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	check(t, err)
	changed := strings.ReplaceAll(string(b), old, now)
	if changed == string(b) {
		t.Fatalf("%q is not in %s", old, name)
	}
	check(t, os.WriteFile(filepath.Join(root, name), []byte(changed), 0o644))
}

func remove(t *testing.T, root, name string) {
	t.Helper()
	check(t, os.RemoveAll(filepath.Join(root, name)))
}

func move(t *testing.T, root, from, to string) {
	t.Helper()
	check(t, os.Rename(filepath.Join(root, from), filepath.Join(root, to)))
}

// An archive of a tree says the same as the tree, and an archive cannot lead
// out of itself.
func TestArchiveSaysWhatTheTreeSays(t *testing.T) {
	root := fleet(t, 2)
	edit(t, root, app, "ttl: 60", "ttl: 90")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	check(t, w.AddFS(os.DirFS(root)))
	check(t, w.WriteHeader(&tar.Header{Name: "../../etc/passwd", Size: 1, Mode: 0o644, Typeflag: tar.TypeReg}))
	_, err := w.Write([]byte("x"))
	check(t, err)
	check(t, w.Close())
	fromTree := run(t, lint.Dir(root), lint.Options{})
	fromArchive := run(t, lint.Stream("a.tar", &b), lint.Options{})
	if brief(fromTree) != brief(fromArchive) || fromTree.Summary.Files != fromArchive.Summary.Files {
		t.Errorf("tree: %s in %d files, archive: %s in %d files", brief(fromTree), fromTree.Summary.Files, brief(fromArchive), fromArchive.Summary.Files)
	}
}

// The cache answers for an unchanged tree, and a change is seen.
func TestCacheSeesEveryChange(t *testing.T) {
	root, dir := fleet(t, 2), t.TempDir()
	old := time.Now().Add(-time.Hour)
	check(t, filepath.Walk(root, func(p string, _ os.FileInfo, err error) error {
		if err == nil {
			err = os.Chtimes(p, old, old)
		}
		return err
	}))
	c := lint.Cache{Dir: dir, Key: "k"}
	for i, want := range []string{"", "", "WX101 cache.ttl 1"} {
		if i == 2 {
			edit(t, root, app, "ttl: 60", "ttl: 61")
		}
		r, err := c.RunDir(context.Background(), root, lint.Options{})
		check(t, err)
		if got := brief(r); got != want {
			t.Errorf("run %d found %q, want %q", i, got, want)
		}
	}
	// Every file was made within the clock's grain, so nothing may have been kept.
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("a fresh tree was cached: %v, %v", list, err)
	}
}

func TestReportsDoNotDependOnTheNumberOfReaders(t *testing.T) {
	root := fleet(t, 3)
	edit(t, root, app, "ttl: 60", "ttl: 90")
	edit(t, root, "svca/service.yaml", "slice: 2C4G", "slice: 3C5G")
	var texts []string
	for _, workers := range []int{1, 2, 7} {
		var b bytes.Buffer
		check(t, run(t, lint.Dir(root), lint.Options{Workers: workers}).WriteText(&b))
		texts = append(texts, b.String())
	}
	if texts[0] != texts[1] || texts[0] != texts[2] {
		t.Errorf("reports differ:\n%s\n%s\n%s", texts[0], texts[1], texts[2])
	}
}

// In the folder of a config server a file belongs to the service it is called after.
func TestFilesOfAConfigServerBelongToTheirServices(t *testing.T) {
	root := t.TempDir()
	for _, env := range []string{"test", "prod"} {
		write(t, root, "config/application-"+env+".yml", "a: "+env+"1\n")
		write(t, root, "config/orders-"+env+".yml", "a: "+env+"1\n")
		write(t, root, "other/orders-"+env+".yml", "a: "+env+"1\n")
	}
	got := map[string]string{}
	for _, f := range run(t, lint.Dir(root), lint.Options{}).Findings {
		got[f.Paths[0]] = f.Service
	}
	want := map[string]string{"config/application-prod.yml": filepath.Base(root), "config/orders-prod.yml": "orders", "other/orders-prod.yml": "other"}
	if !maps.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
}

// Reports are pasted into tickets, so what tells the items of a list apart is
// not printed where it is a credential, and neither are the values themselves.
func TestACredentialIsNoPartOfAKeyPath(t *testing.T) {
	const list = "servers: [{ID: CRED1, port: 1}, {ID: CRED2, port: 2}]\n"
	for _, c := range []struct{ id, one, two, three string }{
		{"key", "AKIAQ7RT2MWX9KLP4ZSB", "AKIAQ7RT2MWX9KLP4ZSC", "AKIAQ7RT2MWX9KLP4ZSD"},
		{"key", "Zq83hd72Kd0sWm", "Zq83hd72Kd0sWn", "Zq83hd72Kd0sWo"},
		{"key", "6f9+619/ff8b86d011b", "6f9+619/ff8b86d012b", "6f9+619/ff8b86d013b"},
		{"host", "redis://app:Zq83hd7@h:1", "redis://app:Zq83hd8@h:1", "redis://app:Zq83hd9@h:1"},
	} {
		text := strings.NewReplacer("ID", c.id, "CRED1", `"`+c.one+`"`, "CRED2", `"`+c.two+`"`)
		before := text.Replace(list)
		for name, after := range map[string]string{
			"value":     strings.Replace(before, "port: 2", "port: 3", 1),
			"item gone": text.Replace("servers: [{ID: CRED1, port: 1}]\n"),
			"item new":  text.Replace("servers: [{ID: CRED1, port: 1}, {ID: CRED2, port: 2}, {ID: '" + c.three + "', port: 3}]\n"),
			"rotated":   strings.Replace(before, c.two, c.three, 1),
			"twice":     strings.Replace(before, "port: 2", "port: 2, port: 2", 1),
			"address":   strings.Replace(before, "port: 2", "port: 2, to: 10.16.1.11", 1),
		} {
			root := fleet(t, 3)
			put(t, root, "svcb", "", "x.yaml", before)
			write(t, root, "svcb/prod/svcb-1/conf/x.yaml", after)
			r := run(t, lint.Dir(root), lint.Options{})
			if !strings.Contains(brief(r), "servers[1]") && !strings.Contains(brief(r), "servers[2]") {
				t.Errorf("%s of %s: found\n%s\nwant a key of the list by index", name, c.one, brief(r))
			}
			b, err := json.Marshal(r)
			check(t, err)
			for _, credential := range []string{c.one, c.two, c.three} {
				if bytes.Contains(b, []byte(credential)) {
					t.Errorf("%s: %s is in %s", name, credential, b)
				}
			}
		}
	}
	for _, key := range []string{"node-role.k8s.io/edge", "checkout-2", "feature_flag_v2_2026", "topology.ebs.csi.aws.com/zone"} {
		root := fleet(t, 3)
		put(t, root, "svcb", "", "x.yaml", "l: [{key: "+key+", v: 1}]\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.yaml", "l: [{key: "+key+", v: 2}]\n")
		if got, want := brief(run(t, lint.Dir(root), lint.Options{})), "WX101 l["+key+"].v 1"; got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}
