package lint

import (
	"path"
	"regexp"
	"strings"
)

// Keys of a kustomization that say what an overlay is made of, and those that
// say where it goes. See the Kubernetes documentation, "The kustomization file".
var (
	composed = regexp.MustCompile(`^(?:resources|components|bases|patches|patchesStrategicMerge|patchesJson6902|transformers|generators|crds|validators|replacements)(?:$|[.\[])`)
	inline   = regexp.MustCompile(`^patches\[[^\]]*\]\.patch[.\[]`) // a merge patch, or a list of JSON patches
	placed   = regexp.MustCompile(`^(?:namespace|namePrefix|nameSuffix|commonLabels|labels|commonAnnotations)(?:$|[.\[])`)
)

func kustomization(name string) bool {
	return name == "kustomization.yaml" || name == "kustomization.yml" || name == "Kustomization"
}

// composition reports whether a key lists the parts of an overlay: that is how
// overlays differ, and what they set is compared in the files listed. A patch
// that is written into the kustomization itself is no list of parts.
func composition(g *group, key string) bool {
	return kustomization(path.Base(g.rel)) && composed.MatchString(key) && !inline.MatchString(key)
}

// placement reports whether a key puts an overlay into its own environment,
// which only an overlay can do; one that names another environment is a mistake.
func placement(g *group, key string) bool {
	return kustomization(path.Base(g.rel)) && placed.MatchString(key) || key == "metadata.namespace" || strings.HasSuffix(key, "].metadata.namespace")
}

// overlaid reports whether the files of a unit are patches over a base: then a
// file that an environment does not have is no patch, and nothing is missing.
func (u *unit) overlaid() bool {
	for _, g := range u.groups {
		if kustomization(path.Base(g.rel)) && !strings.Contains(g.rel, "/") {
			return true
		}
	}
	return false
}
