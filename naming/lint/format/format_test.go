package format_test

import (
	"fmt"
	"testing"

	"github.com/wxops/wxops/naming/lint/format"
)

// sample is one file per syntax with the positions of two of its keys.
var samples = []struct {
	name, text string
	keys       map[string]string // path -> "line:column value"
}{
	{"a.yaml", "# c\ncache:\n  ttl: 60 # s\n  \"a.b\": x\nservers:\n- name: checkout\n  port: 80\n- name: pay\n  port: 81\nlist: [1, 2]\n", map[string]string{
		"cache.ttl": "3:3 60", `cache."a.b"`: "4:3 x", "servers[checkout].port": "7:3 80", "list[1]": "10:11 2",
	}},
	{"simple.yaml", "---\na:\n  b: 'x y'\n\n  c: -3\nd:\ne: http://h:80/p\n", map[string]string{"a.b": "3:3 x y", "a.c": "5:3 -3", "d": "6:1 ", "e": "7:1 http://h:80/p"}},
	{"a.json", "{\n  \"a\": {\"b\": [1, {\"id\": \"x\", \"v\": true}]},\n  \"c\": \"q\\\"\"\n}\n", map[string]string{"a.b[0]": "2:15 1", "a.b[1].v": "2:30 true", "c": "3:3 q\""}},
	{"a.toml", "t = 1\n[server.http]\nport = 80 # p\nhosts = [\"a\", \"b\"]\n[[db]]\nname = \"main\"\nurl = \"u\"\n", map[string]string{"t": "1:1 1", "server.http.port": "3:1 80", "server.http.hosts[1]": "4:1 b", "db[main].url": "7:1 u"}},
	{"a.ini", "; c\n[main]\nkey = v ; note\n[two]\nx: 1\n", map[string]string{"main.key": "3:1 v", "two.x": "5:1 1"}},
	{"a.properties", "# c\na.b=1\nlong : x \\\n  y\n k  v\n", map[string]string{"a.b": "2:1 1", "long": "3:1 x y", "k": "5:2 v"}},
	{".env", "export A=1\nB=\"x y\" \nC='q'\nD=z # note\n", map[string]string{"A": "1:8 1", "B": "2:1 x y", "C": "3:1 q", "D": "4:1 z"}},
	{"a.xml", "<?xml version=\"1.0\"?>\n<config>\n  <pool size=\"5\"/>\n  <section name=\"a\"><x>1</x></section>\n  <section name=\"b\"><x>2</x></section>\n</config>\n", map[string]string{"config.pool@size": "3:3 5", "config.section[b].x": "5:21 2"}},
	{"nginx.conf", "worker_processes 2;\nhttp {\n  server {\n    listen 80;\n    server_name example;\n  }\n}\n", map[string]string{"worker_processes": "1:1 2", "http.server[example].listen": "4:5 80"}},
	{"a.hcl", "a = 1\nblock \"s0\" {\n  k = \"v\" # c\n  l = [1, \"x\"]\n  f = upper(\n    \"q\")\n}\n", map[string]string{"a": "1:1 1", "block.s0.k": "3:3 v", "block.s0.l[1]": "4:11 x", "block.s0.f": "5:3 upper(\n    \"q\")"}},
	{"redis.conf", "maxmemory 1gb\nsave 900 1\nsave 300 10\n", map[string]string{"maxmemory": "1:1 1gb", "save[1]": "3:1 300 10"}},
}

func TestParserFindsKeysWithLineAndColumn(t *testing.T) {
	for _, s := range samples {
		var p format.Parser
		d, err := p.Parse(format.Detect(s.name, []byte(s.text)), []byte(s.text))
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		for path, want := range s.keys {
			n := d.Lookup(path)
			if n == nil {
				var have []string
				d.Walk(func(trail []*format.Node) bool { have = append(have, d.Path(trail)); return true })
				t.Errorf("%s: no key %s in %q", s.name, path, have)
				continue
			}
			if got := fmt.Sprintf("%d:%d %s", n.Line, n.Column, n.Value); got != want {
				t.Errorf("%s: %s is at %q, want %q", s.name, path, got, want)
			}
		}
	}
}
