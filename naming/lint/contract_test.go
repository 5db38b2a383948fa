//go:build unix

package lint_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxops/wxops/naming/lint"
)

// contract is one line of what scripts rely on: a tree, and what is found.
type contract struct {
	name string
	tree func(t *testing.T, root string, o *lint.Options)
	want string // rule, key, places of each finding
}

func lines(n int, f func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(f(i))
	}
	return b.String()
}

var contracts = []contract{
	{"21 keys of one file are one finding with keys[]", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.ini", "[a]\n"+lines(21, func(i int) string { return fmt.Sprintf("k%d = 1\n", i) }))
		write(t, root, "svcb/prod/svcb-1/conf/x.ini", "[a]\n"+lines(21, func(i int) string { return fmt.Sprintf("k%d = 2\n", i) }))
	}, "WX101  1"},
	{"20 keys are 20 findings", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.ini", "[a]\n"+lines(20, func(i int) string { return fmt.Sprintf("k%02d = 1\n", i) }))
		write(t, root, "svcb/prod/svcb-1/conf/x.ini", "[a]\n"+lines(20, func(i int) string { return fmt.Sprintf("k%02d = 2\n", i) }))
	}, strings.TrimSpace(lines(20, func(i int) string { return fmt.Sprintf("WX101 a.k%02d 1\n", i) }))},
	{"an own address in an inventory is that and no drift", func(t *testing.T, root string, o *lint.Options) {
		inventory(t, o, `{"ENVS": ["prod"], "Instances": [{"SERVICE": "svcb", "Env": "prod", "instance": "svcb-1", "HOST": "w1.idc.local", "Ip": "192.168.7.1"}]}`)
		put(t, root, "svcb", "", "x.yaml", "db: {master: ns/db}\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.yaml", "db: {master: '192.168.7.1'}\n")
	}, "WX201 db.master 1"},
	{"items with identities may change places", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.yaml", "l: [{name: a, v: 1}, {name: b, v: 2}]\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.yaml", "l: [{name: b, v: 2}, {name: a, v: 1}]\n")
	}, "WX103  1"},
	{"except where the configuration says that order counts", func(t *testing.T, root string, o *lint.Options) {
		o.Ordered = []string{"l"}
		put(t, root, "svcb", "", "x.yaml", "l: [{name: a, v: 1}, {name: b, v: 2}]\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.yaml", "l: [{name: b, v: 2}, {name: a, v: 1}]\n")
	}, "WX101 l[order] 1"},
	{"a list without identities is ordered", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.yaml", "l: [a, b]\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.yaml", "l: [b, a]\n")
	}, "WX105 l[0] 1\nWX105 l[1] 1"},
	{"default ports mean the same", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.yaml", "u: http://h/p\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.yaml", "u: http://h:80/p\n")
	}, "WX103  1"},
	{"versions that look like equal numbers do not", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.properties", "release=1.1\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.properties", "release=1.10\n")
	}, "WX101 release 1"},
	{"dotfiles are linted", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", ".app.yaml", "a: 1\n")
		write(t, root, "svcb/prod/svcb-1/conf/.app.yaml", "a: 2\n")
	}, "WX101 a 1"},
	{"binary files differ by bytes only", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.yaml", "\x00\xff: [\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.yaml", "\x00\xfe: [\n")
	}, "WX101  1"},
	{"key and value with a blank between", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "redis.conf", "maxmemory 1gb\nsave 900 1\nsave 300 10\n")
		write(t, root, "svcb/prod/svcb-1/conf/redis.conf", "maxmemory 2gb\nsave 900 1\nsave 300 10\n")
	}, "WX101 maxmemory 1"},
	{"nginx", func(t *testing.T, root string, _ *lint.Options) {
		text := "http {\n  server {\n    server_name example;\n    listen 80;\n  }\n  server {\n    server_name other;\n    listen 81;\n  }\n}\n"
		put(t, root, "svcb", "", "nginx.conf", text)
		write(t, root, "svcb/prod/svcb-1/conf/nginx.conf", strings.Replace(text, "listen 80", "listen 8080", 1))
	}, "WX101 http.server[example].listen 1"},
	{"HCL", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.hcl", "pool \"main\" {\n  size = 1\n}\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.hcl", "pool \"main\" {\n  size = 2\n}\n")
	}, "WX101 pool.main.size 1"},
	{"XML", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.xml", "<config><pool size=\"1\"/></config>\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.xml", "<config><pool size=\"2\"/></config>\n")
	}, "WX101 config.pool@size 1"},
	{"a key with a dot", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "", "x.json", "{\"a\": {\"b.c\": 1}}\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.json", "{\"a\": {\"b.c\": 2}}\n")
	}, `WX101 a."b.c" 1`},
	{"longer files than --max-parse by bytes only", func(t *testing.T, root string, o *lint.Options) {
		o.MaxParse = 100
		put(t, root, "svcb", "", "x.yaml", "a: 1\n# "+strings.Repeat("x", 200)+"\npassword: Zq8x77kk\n")
		write(t, root, "svcb/prod/svcb-1/conf/x.yaml", "a: 2\n# "+strings.Repeat("x", 200)+"\npassword: Zq8x77kk\n")
	}, "WX101  1"},
	{"a service.yaml of the environment is no file out of the layout", func(t *testing.T, root string, o *lint.Options) {
		o.Layouts = []string{"{service}/{env}/{instance}/conf/{file...}"}
		for _, env := range []string{"test", "prod"} {
			write(t, root, "svcb/"+env+"/service.yaml", "service: svcb\nversion: 1.0.1\ntier: logic\ndata: none\nslice: 3C5G\n")
		}
	}, "WX802 slice 2"},
	{"a version in the path", func(t *testing.T, root string, o *lint.Options) {
		o.Layouts = []string{"{service}/{version}/{env}/{instance}/{file...}", "{service}/{env}/{instance}/conf/{file...}"}
		for v := range 2 {
			for i := range 3 {
				write(t, root, fmt.Sprintf("new/1.%d/prod/new-%d/a.yaml", v, i), fmt.Sprintf("a: %d\n", v))
			}
		}
	}, "WX104  2"},
	{"an environment word that is the same everywhere", all("x.yaml", "mq: mq.prod.corp.local\n"), "WX301 mq 6"},
	{"production that points at test, among the others", func(t *testing.T, root string, _ *lint.Options) {
		put(t, root, "svcb", "test", "x.yaml", "db: db.test.corp.local:3306\n")
		put(t, root, "svcb", "prod", "x.yaml", "db: db.test.corp.local:3306\n")
	}, "WX301 db 6"},
	{"a waiver of another rule lifts nothing", service("tier: logic", "data: none", "cloud: false", "waivers: [{rule: WX802, reason: x, until: 2026-12-31}]"), "WX803 cloud 1\nWX902 waivers 1"},
	{"a cache of an hour is short", service("tier: logic", "data: cache-short", "cache_ttl: 1h", "slice: 2C4G"), ""},
	{"a cache of 61 minutes is long", service("tier: logic", "data: cache-short", "cache_ttl: 61m", "slice: 2C4G"), "WX704 cache_ttl 1"},
}

func TestContract(t *testing.T) {
	for _, c := range contracts {
		t.Run(c.name, func(t *testing.T) {
			root := fleet(t, 2)
			o := lint.Options{Today: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
			c.tree(t, root, &o)
			r := run(t, lint.Dir(root), o)
			if got := brief(r); got != c.want {
				t.Errorf("found\n%s\nwant\n%s", got, c.want)
				for _, f := range r.Findings {
					t.Log(f.Message)
				}
			}
		})
	}
}

// places counts all, paths holds the first 1,000 of them.
func TestPathsEndAtAThousand(t *testing.T) {
	var list strings.Builder
	for i := range 3000 {
		sum := "d41d8cd98f00b204e9800998ecf8427e"
		if i < 1200 {
			sum = "00000000000000000000000000000000"
		}
		fmt.Fprintf(&list, "%s  a.yaml\n# wxops-manifest/v1 service=s version=1 env=prod host=h-%04d files=1\n", sum, i)
	}
	r := run(t, lint.Manifests(func(each func(string, io.Reader) error) error { return each("x", strings.NewReader(list.String())) }), lint.Options{MD5Only: true})
	if len(r.Findings) != 1 || r.Findings[0].Places != 1200 || len(r.Findings[0].Paths) != 1000 || !slices.IsSorted(r.Findings[0].Paths) {
		t.Errorf("%d findings, first %.200q", len(r.Findings), fmt.Sprint(r.Findings))
	}
}

// --rules, --skip and --md5-only take ids and families.
func TestRulesAreChosen(t *testing.T) {
	root := fleet(t, 2)
	edit(t, root, app, "ttl: 60", "ttl: 90")
	put(t, root, "svca", "", "x.yaml", "db: 10.201.3.4:3306\n")
	for _, c := range []struct {
		o    lint.Options
		want string
	}{
		{lint.Options{}, "WX101 cache.ttl 1\nWX601 db 6"},
		{lint.Options{Only: []string{"WX1xx"}}, "WX101 cache.ttl 1"},
		{lint.Options{Only: []string{"wx601", "WX5xx"}}, "WX601 db 6"},
		{lint.Options{Skip: []string{"WX101"}}, "WX601 db 6"},
		{lint.Options{Only: []string{"WX1xx", "WX6xx"}, Skip: []string{"WX6xx"}}, "WX101 cache.ttl 1"},
		{lint.Options{MD5Only: true}, "WX101  1"},
	} {
		if got := brief(run(t, lint.Dir(root), c.o)); got != c.want {
			t.Errorf("%v %v: found\n%s\nwant\n%s", c.o.Only, c.o.Skip, got, c.want)
		}
	}
}

// The longest cache is named as people write it: 30m0s was cut to 3 once.
func TestTheLongestCacheIsNamed(t *testing.T) {
	for longest, want := range map[time.Duration]string{
		30 * time.Minute: "30m", 10 * time.Second: "10s", 90 * time.Minute: "1h30m", 24 * time.Hour: "24h", 3630 * time.Second: "1h0m30s",
	} {
		root := fleet(t, 2)
		o := lint.Options{LongCache: longest}
		service("tier: logic", "data: cache-short", "cache_ttl: 30d", "slice: 2C4G")(t, root, &o)
		r := run(t, lint.Dir(root), o)
		if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Message, "at most "+want+",") {
			t.Errorf("%v: found %+v, want at most %s", longest, r.Findings, want)
		}
	}
}
