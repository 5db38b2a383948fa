package lint

import (
	"path"
	"slices"
	"strings"
)

var (
	// Directories whose children are environments, whatever they are called.
	envContainers = map[string]string{
		"overlays": "kustomize overlays/{env}", "overlay": "kustomize overlay/{env}",
		"environments": "environments/{env}", "environment": "environment/{env}", "envs": "envs/{env}", "env": "env/{env}",
		"inventories": "ansible inventories/{env}", "stages": "stages/{env}",
	}
	// Children of those that hold what the environments share.
	notEnv = map[string]bool{
		"base": true, "bases": true, "common": true, "shared": true, "components": true, "component": true, "modules": true,
		"template": true, "example": true, "examples": true, "sample": true, "samples": true, "skeleton": true, "archive": true,
		"default": true, "defaults": true, "global": true, "all": true, "lib": true, "templates": true, "_base": true, "_common": true, "scripts": true, "docs": true,
	}
)

// isEnv reports whether a name is an environment of the inventory or a known word.
func (p *placer) isEnv(name string) bool {
	return p.opt.Inventory.hasEnv(name) || isEnvName(name)
}

// markEnvs finds the environment directories: children of a container such as
// overlays, and siblings of which at least two are named by environment words.
func (p *placer) markEnvs() {
	single := map[int][]int32{} // depth -> lone candidates
	depthWith := map[int]bool{}
	for i := range p.t.folders {
		name := p.t.folders[i].name
		kids := p.children[i]
		_, container := envContainers[strings.ToLower(name)]
		var words, others []int32
		for _, c := range kids {
			child := p.t.folders[c].name
			switch {
			case notEnv[strings.ToLower(child)] || strings.HasPrefix(child, "."):
			case p.isEnv(child):
				words = append(words, c)
			default:
				others = append(others, c)
			}
		}
		depth := strings.Count(p.paths[i], "/") + 1
		if p.paths[i] == "" {
			depth = 0
		}
		switch {
		case container && len(words)+len(others) >= 2 && (len(words) > 0 || strings.HasPrefix(name, "overlay")):
			for _, c := range append(words, others...) {
				p.envDir[c] = true
			}
		case len(words) >= 2 && (container || slices.ContainsFunc(words, p.numbered) || p.configured(words)):
			for _, c := range words {
				p.envDir[c] = true
			}
			depthWith[depth] = true
		case len(words) == 1:
			single[depth] = append(single[depth], words[0])
		}
	}
	for depth, list := range single {
		for _, c := range list {
			if depthWith[depth] || p.opt.Inventory.hasEnv(p.t.folders[c].name) || len(list) >= 3 || p.numbered(c) {
				p.envDir[c] = true
			}
		}
	}
	for i := len(p.t.folders) - 1; i > 0; i-- {
		if p.envDir[i] || p.hasEnv[i] {
			p.hasEnv[p.t.folders[i].parent] = true
		}
	}
}

// maxConfigured bounds how many files of one directory are looked at to find
// out whether it is an environment.
const maxConfigured = 2000

// configured reports whether at least two of the directories have a file of
// configuration of the same name, up to three directories below. Directories
// called test or dev that share a README are no environments.
func (p *placer) configured(list []int32) bool {
	return shareName(list, func(c int32, names map[string]bool) {
		p.configs(c, "", 3, p.t.folders[c].name, names)
	})
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
