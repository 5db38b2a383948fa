//go:build unix

package lint_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxops/wxops/naming/lint"
)

// drifted is a fleet with a finding of each severity, and names that every
// format has to escape.
func drifted(t *testing.T) *lint.Report {
	t.Helper()
	root := fleet(t, 2)
	const odd = "a,b:c%d\n<e>&\".yaml"
	put(t, root, "svca", "", odd, "k: 1\n")
	write(t, root, "svca/prod/svca-1/conf/"+odd, "k: 2\n")
	edit(t, root, app, "# of", "# for")                                  // WX103, a warning
	edit(t, root, "svcb/test/svcb-2/conf/log.json", "\"a\", ", "\"a\",") // also one
	put(t, root, "svcb", "", "end.ini", "[a]\nb = 1\n")                  // whole
	write(t, root, "svcb/test/svcb-0/conf/end.ini", "[a]\nb = 1")        // WX509, info
	return run(t, lint.Dir(root), lint.Options{})
}

func TestFormatsCarryEveryFinding(t *testing.T) {
	r := drifted(t)
	if got := brief(r); got != "WX101 k 1\nWX103  1\nWX103  1\nWX509  1" {
		t.Fatalf("found\n%s", got)
	}
	var b bytes.Buffer

	check(t, r.WriteJUnit(&b, lint.Warning))
	var suites struct {
		Tests, Failures int `xml:",attr"`
		Suite           struct {
			Cases []struct {
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	check(t, xml.Unmarshal(b.Bytes(), &suites))
	failed := 0
	for _, c := range suites.Suite.Cases {
		if c.Failure != nil {
			failed++
		}
	}
	if len(suites.Suite.Cases) != 4 || failed != 3 {
		t.Errorf("JUnit has %d cases, %d failed", len(suites.Suite.Cases), failed)
	}

	b.Reset()
	check(t, r.WriteGitLab(&b, "configs/"))
	var issues []struct {
		Description, Fingerprint, Severity string
		CheckName                          string `json:"check_name"`
		Location                           struct {
			Path  string
			Lines struct{ Begin int }
		}
	}
	check(t, json.Unmarshal(b.Bytes(), &issues))
	prints := map[string]bool{}
	for _, i := range issues {
		prints[i.Fingerprint] = true
		if i.Description == "" || i.CheckName == "" || i.Location.Lines.Begin < 1 || !strings.HasPrefix(i.Location.Path, "configs/svc") {
			t.Errorf("issue %+v", i)
		}
		switch i.Severity { // of the format's specification
		case "info", "minor", "major", "critical", "blocker":
		default:
			t.Errorf("severity %q", i.Severity)
		}
	}
	if len(prints) != 4 {
		t.Errorf("%d fingerprints for 4 findings", len(prints))
	}

	b.Reset()
	check(t, r.WriteGitHub(&b, ""))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "::error file=svca/prod/svca-1/conf/a%2Cb%3Ac%25d%0A<e>&\".yaml,line=1,col=1,title=WX101 instance-md5-drift::conf/a,b:c%25d%0A") {
		t.Errorf("annotations:\n%s", b.String())
	}

	b.Reset()
	check(t, r.WriteJSONLines(&b))
	for line := range bytes.Lines(b.Bytes()) {
		if !json.Valid(line) {
			t.Errorf("%q is no JSON", line)
		}
	}
}

// sarifLog is the part of SARIF 2.1.0 that the linter writes.
type sarifLog struct {
	Schema  string `json:"$schema"`
	Version string
	Runs    []struct {
		Tool struct {
			Driver struct {
				Name, Version string
				Rules         []struct{ ID string }
			}
		}
		Results []struct {
			RuleID           string
			RuleIndex        int
			Locations        []sarifPlace
			RelatedLocations []sarifPlace
			Fingerprints     map[string]string `json:"partialFingerprints"`
		}
	}
}

type sarifPlace struct {
	PhysicalLocation struct {
		ArtifactLocation struct{ URI string }
		Region           *struct{ StartLine, StartColumn int }
	}
}

func sarif(t *testing.T, r *lint.Report) sarifLog {
	t.Helper()
	var b bytes.Buffer
	check(t, r.WriteSARIF(&b, "wxops 1.2.3", "configs/"))
	var log sarifLog
	check(t, json.Unmarshal(b.Bytes(), &log))
	if log.Version != "2.1.0" || len(log.Runs) != 1 || log.Runs[0].Tool.Driver.Name != "wxops" || log.Runs[0].Tool.Driver.Version != "1.2.3" || log.Runs[0].Results == nil {
		t.Fatalf("SARIF: %.200s", b.String())
	}
	return log
}

// The oracle module next to this package holds the same to the published schema.
func TestSARIFPointsAtRulesAndPlaces(t *testing.T) {
	if n := len(sarif(t, run(t, lint.Dir(fleet(t, 2)), lint.Options{})).Runs[0].Results); n != 0 {
		t.Errorf("%d results for a clean tree", n)
	}
	root := fleet(t, 2)
	for i := range 3 {
		edit(t, root, fmt.Sprintf("svcb/prod/svcb-%d/conf/app.yaml", i), "ttl: 60", "ttl: 90")
	}
	write(t, root, "svca/prod/svca-1/conf/a b#?.yaml", "k: 1\n")
	log := sarif(t, run(t, lint.Dir(root), lint.Options{}))
	results := log.Runs[0].Results
	if len(results) != 2 {
		t.Fatalf("%d results", len(results))
	}
	for _, r := range results {
		if log.Runs[0].Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || len(r.Locations) != 1 || len(r.Fingerprints) != 1 {
			t.Errorf("result %+v", r)
		}
	}
	if uri := results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI; uri != "configs/svca/prod/svca-1/conf/a%20b%23%3F.yaml" {
		t.Errorf("URI %q", uri)
	}
	drift := results[1]
	if region := drift.Locations[0].PhysicalLocation.Region; len(drift.RelatedLocations) != 5 || region == nil || region.StartLine != 6 || region.StartColumn != 3 {
		t.Errorf("drift %+v", drift)
	}
	// A line more above does not make it another finding.
	put(t, root, "svcb", "", "app.yaml", "# new\n# of\npool:\n  size: 11\n  wait: 5\ncache:\n  ttl: 60\n")
	put(t, root, "svcb", "prod", "app.yaml", "# new\n# of\npool:\n  size: 11\n  wait: 5\ncache:\n  ttl: 90\n")
	moved := sarif(t, run(t, lint.Dir(root), lint.Options{})).Runs[0].Results[1]
	if fmt.Sprint(moved.Fingerprints) != fmt.Sprint(drift.Fingerprints) || moved.Locations[0].PhysicalLocation.Region.StartLine != 7 {
		t.Errorf("moved %+v", moved)
	}
}

// Fix repairs what cannot change the meaning, keeps the mode of the file, and
// has nothing to do the second time; dry, it touches nothing.
func TestFixRepairsOnce(t *testing.T) {
	root := fleet(t, 2)
	text := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, name))
		check(t, err)
		return string(b)
	}
	want := text(app)
	edit(t, root, app, "\n", "\r\n")
	write(t, root, app, "\xef\xbb\xbf"+strings.TrimSuffix(text(app), "\r\n"))
	check(t, os.Chmod(filepath.Join(root, app), 0o600))
	broken := text(app)
	r := run(t, lint.Dir(root), lint.Options{})
	if got := brief(r); got != "WX504  1\nWX506  1\nWX507  1\nWX509  1" {
		t.Fatalf("found\n%s", got)
	}
	dry, err := r.Fix(root, true)
	check(t, err)
	if text(app) != broken || len(dry) != 2 {
		t.Errorf("%d changes shown, and the file is %q", len(dry), text(app))
	}
	done, err := r.Fix(root, false)
	check(t, err)
	info, err := os.Stat(filepath.Join(root, app))
	check(t, err)
	if text(app) != want || len(done) != 2 || info.Mode().Perm() != 0o644 {
		t.Errorf("%d changes, mode %o, text %q", len(done), info.Mode().Perm(), text(app))
	}
	again := run(t, lint.Dir(root), lint.Options{})
	more, err := again.Fix(root, false)
	check(t, err)
	if brief(again) != "" || len(more) != 0 {
		t.Errorf("the second time: %q, %d changes", brief(again), len(more))
	}
	left, err := filepath.Glob(filepath.Join(root, filepath.Dir(app), ".*"))
	check(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A credential is in no report, in whatever place of a file it stands.
func TestCredentialsAreNeverPrinted(t *testing.T) {
	root := fleet(t, 6)
	const secret = "Zq8x77kkPw"
	put(t, root, "svca", "", "x.yaml", "db:\n  password: "+secret+"\n")
	write(t, root, "svca/prod/svca-1/conf/x.yaml", "db:\n  password: "+secret+"2\n")
	put(t, root, "svcb", "", "k8s.yaml", "env:\n- name: A\n  value: 1\n")
	put(t, root, "svcb", "prod", "k8s.yaml", "env:\n- name: A\n  value: 1\n- name: DB_PASSWORD\n  value: test-"+secret+"\n")
	put(t, root, "svcc", "", "url.properties", "db.url=postgres://app:"+secret+"@db:5432/x\n")
	put(t, root, "svcd", "", "broken.yaml", "password: "+secret+": [\n")
	put(t, root, "svcd", "", "broken.json", "{\"password\": \""+secret+"\" x}\n")
	put(t, root, "svcd", "", "broken.toml", "password = \""+secret+"\n")
	put(t, root, "svcd", "", "broken.xml", "<a password=\""+secret+"\"><b></a>\n")
	put(t, root, "svcd", "", "broken.hcl", "password = \""+secret+"\n")
	put(t, root, "svce", "", "twice.yaml", "password: "+secret+"\npassword: "+secret+"3\n")
	for s := range 6 {
		put(t, root, fmt.Sprintf("svc%c", 'a'+s), "", "shared.yaml", "link:\n  a: ns/x\n  b: 4096\n  c: 250\n  token: "+secret+"1234567890\n")
	}
	put(t, root, "svcf", "", "shared.yaml", "link:\n  a: ns/x\n  b: 4096\n  c: 250\n  token: other"+secret+"12345678\n")
	// Places where a value is no credential by its key alone, or differs.
	for name, text := range map[string]string{
		"dsn.yaml":       "dsn: app:%s@tcp(db:3306)/shop\n",
		"jdbc.xml":       "<pool url=\"jdbc:mysql://db/shop?user=app&amp;password=%s\"/>\n",
		"odbc.ini":       "[db]\nlink = Server=db;Uid=app;Pwd=%s;\n",
		"compose.yml":    "environment:\n- MODE=fast\n- DB_PASSWORD=%s\n",
		"lists.yaml":     "passwords:\n- %s\ntokens: [a, %s]\n",
		"short.toml":     "DBPassword = \"%s\"\napi_token = \"%s\"\n",
		"header.conf":    "server {\n  proxy_set_header Authorization \"Bearer %s\";\n}\n",
		"secret.yaml":    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\nstringData:\n  db: %s\n  x: |\n    y\n    %s\n",
		"nested.json":    "{\"a\": {\"secret\":\n  \"%s\"}}\n",
		"env.env":        "APP_SECRET=%s\nURL=https://h/?api_key=%s\n",
		"app.properties": "spring.mail.password=%s\\\n  x%s\n",
		"key.pem":        "-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----\n",
		"block.yaml":     "password: |\n  one\n  %s\nrest: 1\n",
		"main.tfvars":    "db_password = \"%s\"\n",
		"args.yaml":      "args: [\"--db-password=%s\", \"--x\"]\n",
	} {
		put(t, root, "svca", "", name, strings.ReplaceAll(text, "%s", secret))
		put(t, root, "svca", "prod", name, strings.ReplaceAll(text, "%s", secret+"9"))
		write(t, root, "svca/prod/svca-2/conf/"+name, strings.ReplaceAll(strings.ReplaceAll(text, "%s", secret+"b"), "\n", "\r\n"))
		put(t, root, "svce", "", name, strings.ReplaceAll(text, "%s", secret))
		write(t, root, "svce/prod/svce-2/conf/"+name, strings.ReplaceAll(strings.ReplaceAll(text, "%s", secret), "\n", "\r\n"))
	}
	write(t, root, "svce/test/service.yaml", "service: svce\ntier: logic\nslice: 2C4G\ncloud: true\n")
	for name, o := range map[string]lint.Options{"all": {}, "without WX602": {Skip: []string{"WX6xx"}}, "reference": {Reference: "env=test", Skip: []string{"WX602"}}} {
		r := run(t, lint.Dir(root), o)
		if len(r.Findings) < 30 {
			t.Errorf("%s: only\n%s", name, brief(r))
		}
		var b bytes.Buffer
		check(t, r.WriteText(&b))
		check(t, r.WriteSARIF(&b, "wxops 1", ""))
		check(t, r.WriteJUnit(&b, lint.Error))
		check(t, r.WriteGitHub(&b, ""))
		check(t, r.WriteGitLab(&b, ""))
		check(t, r.WriteJSONLines(&b))
		check(t, json.NewEncoder(&b).Encode(r))
		check(t, lint.WriteMigrations(&b, r.Migrate()))
		b.Write(lint.NewBaseline(r, "x"))
		fixed, err := r.Fix(root, true)
		check(t, err)
		if len(fixed) < 20 {
			t.Errorf("%s: %d files to fix", name, len(fixed))
		}
		for _, x := range fixed {
			check(t, x.WriteDiff(&b))
		}
		for line := range strings.Lines(b.String()) {
			if strings.Contains(line, "Zq8x") {
				t.Errorf("%s: a credential is printed: %s", name, line)
			}
		}
		if !strings.Contains(b.String(), "\n+rest: 1\n") {
			t.Errorf("%s: the diff hides a line that is no credential", name)
		}
	}
}
