package lint

import "strings"

// Environment words and the class each belongs to: two words of one class name
// the same environment, as prod and production do.
var envClasses = map[string]string{
	"dev": "dev", "develop": "dev", "development": "dev", "devel": "dev",
	"test": "test", "tst": "test", "testing": "test",
	"qa": "qa", "uat": "uat", "sit": "sit", "acc": "acc", "acceptance": "acc",
	"stage": "staging", "staging": "staging", "stg": "staging", "stag": "staging",
	"preprod": "preprod", "ppd": "preprod", "preproduction": "preprod", "pre": "preprod", "preview": "preview",
	"prod": "prod", "production": "prod", "prd": "prod", "live": "prod",
	"nonprod": "nonprod", "sandbox": "sandbox", "sbx": "sandbox", "demo": "demo",
	"integration": "integration", "int": "integration", "perf": "perf", "ci": "ci", "local": "local",
	"canary": "canary", "gray": "gray", "grey": "gray", "dr": "dr",
}

// standsForProd are environments that share what prod has, by design.
var standsForProd = map[string]bool{"canary": true, "gray": true, "dr": true}

// Lengths of the words by their first letter, lower case: a quick test that
// spares looking up nearly every word of a file.
var envLengths = func() (t [256]uint16) {
	for w := range envClasses {
		t[w[0]] |= 1 << len(w)
		t[w[0]-'a'+'A'] |= 1 << len(w)
	}
	return t
}()

// envMention is an environment word in a value.
type envMention struct {
	class      string
	start, end int
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// mentions returns the environment words of a value. extra names environments
// beyond the known words; both may carry a trailing number, as dev2 does.
// Words in the path of a device, as in /dev/null, and after a sentence's blank
// do not count; "pre-prod" and "non-prod" are one word.
func mentions(v string, extra map[string]string) []envMention {
	var out []envMention
	for i := 0; i < len(v); {
		if !wordByte(v[i]) {
			i++
			continue
		}
		start := i
		for i < len(v) && wordByte(v[i]) {
			i++
		}
		end := i
		for end > start && v[end-1] >= '0' && v[end-1] <= '9' {
			end--
		}
		if end == start || end-start > 15 || len(extra) == 0 && envLengths[v[start]]&(1<<(end-start)) == 0 {
			continue
		}
		word := strings.ToLower(v[start:end])
		class, ok := envClasses[word]
		if !ok {
			if class, ok = extra[strings.ToLower(v[start:i])]; !ok {
				continue
			}
		}
		if word == "dev" && start > 0 && v[start-1] == '/' && (start == 1 || !wordByte(v[start-2])) && i < len(v) && v[i] == '/' {
			continue // /dev/null
		}
		if in(topLevels, word) && topLevel(v, start, i) {
			continue
		}
		if class == "prod" && start > 3 {
			switch before := strings.ToLower(v[:start-1]); {
			case strings.HasSuffix(before, "pre"):
				class = "preprod"
			case strings.HasSuffix(before, "non"):
				class = "nonprod"
			}
			if class != "prod" && len(out) > 0 && out[len(out)-1].end == start-1 {
				out = out[:len(out)-1]
			}
		}
		out = append(out, envMention{class, start, i})
	}
	return out
}

// Environment words that are also top-level domains.
var topLevels = map[string]bool{"dev": true, "live": true, "int": true}

// topLevel reports whether the word v[start:end] ends the name of a public
// host, as in docker.pkg.dev/team/app or https://shop.dev. Two parts without a
// scheme, as in redis.dev:6379, are a name inside of an environment.
func topLevel(v string, start, end int) bool {
	if start == 0 || v[start-1] != '.' || end < len(v) && v[end] != '/' && v[end] != ':' {
		return false
	}
	labels, i := 1, start-1
	for ; i >= 0 && (wordByte(v[i]) || v[i] == '-' || v[i] == '.'); i-- {
		if v[i] == '.' {
			labels++
		}
	}
	return labels > 2 || i >= 0 && v[i] == '/'
}

// envClass returns the class of an environment by its name: that of its first
// known word, else the name itself.
func envClass(name string) string {
	if m := mentions(name, nil); len(m) > 0 {
		return m[0].class
	}
	return strings.ToLower(name)
}

// isEnvName reports whether a directory or a part of a file name names an
// environment: a known word, alone or with a region or number beside it.
func isEnvName(name string) bool {
	m := mentions(name, nil)
	return len(m) == 1 && strings.Count(name, "-")+strings.Count(name, "_")+strings.Count(name, ".") <= 3 && len(name) <= 24
}
