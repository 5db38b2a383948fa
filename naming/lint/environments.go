package lint

import (
	"path"
	"strings"
)

// maxConfigured bounds how many files of one directory are looked at to find
// out whether it is an environment.
const maxConfigured = 2000

// configured reports whether at least two of the directories have a file of
// configuration of the same name, up to three directories below. Directories
// called test or dev that share a README are no environments.
func (p *placer) configured(list []int32) bool {
	seen := map[string]bool{}
	for _, c := range list {
		own := map[string]bool{}
		p.configs(c, "", 3, p.t.folders[c].name, own)
		for n := range own {
			if seen[n] {
				return true
			}
		}
		for n := range own {
			seen[n] = true
		}
	}
	return false
}

// configs collects the names of configuration files below a directory, without
// what names the environment env in them.
func (p *placer) configs(f int32, below string, depth int, env string, out map[string]bool) {
	for _, e := range p.files[f] {
		if name := p.t.entries[e].name; len(out) < maxConfigured && p.configName(name) && !ownByNature(name) && !buildFile(name) {
			out[path.Join(below, withoutEnv(name, env))] = true
		}
	}
	if depth == 0 {
		return
	}
	for _, c := range p.children[f] {
		p.configs(c, path.Join(below, p.t.folders[c].name), depth-1, env, out)
	}
}

// ownByNature reports files that every environment has for itself: what is
// written for people, certificates and keys, and what tools generate.
func ownByNature(name string) bool {
	lower := strings.ToLower(name)
	switch path.Ext(lower) {
	case ".md", ".rst", ".adoc", ".png", ".svg", ".jpg", ".pem", ".crt", ".cer", ".key", ".p12", ".jks", ".asc", ".gpg", ".pub", ".tfstate":
		return true
	}
	switch lower {
	case "readme", "readme.txt", "license", "codeowners", ".gitkeep", ".keep", ".terraform.lock.hcl", ".gitignore":
		return true
	}
	return false
}
