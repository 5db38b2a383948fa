package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestReleaseBuildsFiveStaticTargets reads .goreleaser.yaml as goreleaser would:
// the tool itself does not run here, so its file is held to what a release needs.
func TestReleaseBuildsFiveStaticTargets(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Version int
		Builds  []struct {
			Main, Binary                 string
			Env, Flags, Ldflags, Targets []string
		}
		Archives []struct{ Files []string }
	}
	if err := yaml.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	if c.Version != 2 {
		t.Errorf("version is %d, want 2", c.Version)
	}
	if len(c.Builds) != 1 {
		t.Fatalf("%d builds, want 1", len(c.Builds))
	}
	build := c.Builds[0]
	want := []string{"darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64", "windows_amd64"}
	got := slices.Sorted(slices.Values(build.Targets))
	if !slices.Equal(got, want) {
		t.Errorf("targets are %q, want %q", got, want)
	}
	if !slices.Contains(build.Env, "CGO_ENABLED=0") {
		t.Error("the binary would not be static: CGO_ENABLED=0 is missing")
	}
	if _, err := os.Stat(filepath.Join(root, build.Main, "main.go")); err != nil {
		t.Errorf("main: %v", err)
	}
	for _, a := range c.Archives {
		for _, f := range a.Files {
			if _, err := os.Stat(filepath.Join(root, f)); err != nil {
				t.Errorf("archive: %v", err)
			}
		}
	}
	m := regexp.MustCompile(`-X main\.(\w+)=`).FindStringSubmatch(strings.Join(build.Ldflags, " "))
	if m == nil {
		t.Fatal("ldflags set no version")
	}
	source, err := os.ReadFile("version.go")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^var ` + m[1] + ` = `).Match(source) {
		t.Errorf("ldflags set main.%s, which version.go does not declare", m[1])
	}
	ci, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range want {
		if !strings.Contains(string(ci), strings.ReplaceAll(target, "_", "/")) {
			t.Errorf(".ci/run does not build %s", target)
		}
	}
}
