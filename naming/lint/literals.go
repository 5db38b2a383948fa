package lint

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// ownValues reports the members whose value is what they themselves are called
// and returns the rest.
func (l *linter) ownValues(g *group, k *keyDiff, members []member, node func(member) *format.Node, others *format.Node) []member {
	found := map[string][]member{}
	var rest []member
	for _, m := range members {
		rule := ""
		if n := node(m); n != nil && n.Kind == format.Scalar {
			rule = l.ownRule(m.spot, n.Value)
		}
		if rule == "" {
			rest = append(rest, m)
		} else {
			found[rule] = append(found[rule], m)
		}
	}
	if len(found) == 0 && l.ordinals(members, node) {
		found["WX203"], rest = rest, nil
	}
	if own := l.ownAddresses(k, rest, node, others); len(own) > 0 {
		found["WX201"], rest = append(found["WX201"], own...), nil
	}
	what := map[string]string{"WX201": "its own address", "WX202": "its own host name", "WX203": "its own index"}
	for _, rule := range sortedKeys(found) {
		f := l.keyFinding(rule, g, k, found[rule], node)
		f.Message = fmt.Sprintf("%s: %s: key %s is %s, %s", g.rel, l.who(g, found[rule], "differs", "differ"), k.path, k.show(node(found[rule][0])), what[rule])
		l.add(f)
	}
	return rest
}

// ownRule returns the rule that a value naming its own instance breaks.
func (l *linter) ownRule(s *spot, v string) string {
	d, known := l.opt.Inventory.of(s)
	if known && d.IP != "" && contains(v, d.IP) || addressLike.MatchString(s.instance) && contains(v, s.instance) {
		return "WX201"
	}
	short, _, _ := strings.Cut(d.Host, ".")
	if known && d.Host != "" && d.Host != d.Instance && (contains(v, d.Host) || short != s.instance && contains(v, short)) {
		return "WX202"
	}
	if all := numbers.FindAllString(s.instance, -1); !known && len(all) > 0 && s.service != "" && hostForm.MatchString(v) {
		// A host name made of the service and the number of the instance.
		label, _, _ := strings.Cut(v, ".")
		if contains(label, s.service) && strings.HasSuffix(label, "-"+all[len(all)-1]) && label != s.instance {
			return "WX202"
		}
	}
	if s.instance != "" && contains(v, s.instance) && s.instance != s.service {
		if strings.Contains(s.instance, ".") {
			return "WX202"
		}
		return "WX203"
	}
	return ""
}

var addressLike = regexp.MustCompile(`^\d+\.\d+\.\d+\.\d+$`)

// contains reports whether word stands in v on its own.
func contains(v, word string) bool {
	for at := 0; ; {
		i := strings.Index(v[at:], word)
		if i < 0 || word == "" {
			return false
		}
		start, end := at+i, at+i+len(word)
		if (start == 0 || !wordByte(v[start-1])) && (end == len(v) || !wordByte(v[end])) {
			return true
		}
		at = start + 1
	}
}

// notOwn are words of keys that name what an instance talks to, not itself.
var notOwn = regexp.MustCompile(`(?i)db|database|upstream|backend|master|primary|redis|mysql|postgres|mongo|kafka|zookeeper|broker|remote|peer|proxy|dns|ntp|gateway|server|endpoint|url|target|cluster|registry`)

// ownAddresses finds, where no inventory knows the addresses, the members whose
// value is one that only they have: a lone address among values that are none,
// or another address on every one of at least two instances. It is all or none.
func (l *linter) ownAddresses(k *keyDiff, members []member, node func(member) *format.Node, others *format.Node) []member {
	if len(members) == 0 || notOwn.MatchString(lastPart(k.path)) || others != nil && (others.Kind != format.Scalar || len(members) == 1 && endpoint(k.path, others.Value)) {
		return nil
	}
	seen := map[string]bool{}
	if others != nil {
		seen[others.Value] = true
	}
	for _, m := range members {
		n := node(m)
		if n == nil || n.Kind != format.Scalar || m.spot.instance == "" || seen[n.Value] || !ownAddress(k.path, n.Value, len(members) == 1) {
			return nil
		}
		if _, known := l.opt.Inventory.of(m.spot); known {
			return nil
		}
		seen[n.Value] = true
	}
	return members
}

// ownAddress reports whether a value can be the address of the host it is
// configured on: alone, with the length of its network or with a gateway after
// it. One that differs on a single instance must be of a private network.
func ownAddress(key, v string, single bool) bool {
	v, _, _ = strings.Cut(v, ",")
	if p, err := netip.ParsePrefix(v); err == nil && p.Addr() != p.Masked().Addr() {
		v = p.Addr().String()
	}
	word, ok := hostAddress(lastPart(key), v)
	if !ok || word != v {
		return false
	}
	ip, err := netip.ParseAddr(v)
	return err == nil && (ip.IsPrivate() || !single)
}

// ordinals reports whether at least three members have their own number as
// value, counted from 0 or from 1.
func (l *linter) ordinals(members []member, node func(member) *format.Node) bool {
	if len(members) < 2 {
		return false
	}
	seen := map[int]bool{}
	base := 0
	for i, m := range members {
		all := numbers.FindAllString(m.spot.instance, -1)
		n := node(m)
		if len(all) == 0 || n == nil || n.Kind != format.Scalar {
			return false
		}
		own, err := strconv.Atoi(all[len(all)-1])
		value, err2 := strconv.Atoi(n.Value)
		if err != nil || err2 != nil {
			return false
		}
		if i == 0 {
			base = value - own
		}
		if value-own != base || base < 0 || base > 1 {
			return false
		}
		seen[value] = true
	}
	return len(seen) >= 2
}

// wrongInside reports values below a key that only some environments have and
// that name another environment: the presence of the key is one fact, where it
// points at another. Keys that differ among those environments are judged as such.
func (l *linter) wrongInside(g *group, k *keyDiff, members []member, node func(member) *format.Node) {
	each := func(f func(m member, path, value string, line int32)) {
		for _, m := range members {
			n := node(m)
			if n == nil || n.Kind == format.Scalar || m.spot.env == "" {
				continue
			}
			leaves(&format.Document{Root: n}, func(path, value string, line int32) {
				if full := joinPath(k.path, path); k.inside[full] == nil {
					f(m, full, value, line)
				}
			})
		}
	}
	type fact struct{ path, value string }
	modes := map[fact]bool{}
	each(func(m member, path, value string, _ int32) {
		if own, _ := l.envsNamed(m, value); own && l.mode(value) {
			modes[fact{path, value}] = true
		}
	})
	each(func(m member, path, value string, line int32) {
		if own, other := l.envsNamed(m, value); own || !other || modes[fact{path, value}] && envClass(m.spot.env) != "prod" {
			return
		}
		f := l.about("WX303", g, []member{m}, path)
		f.Line, f.Column = int(line), 1
		f.Message = fmt.Sprintf("%s: key %s of %s is %s in %s and names another environment", g.rel, path, g.service, show(path, &format.Node{Kind: format.Scalar, Value: value}), m.spot.label())
		l.add(f)
	})
}

// mode reports whether a value is the name of an environment alone, as in
// NODE_ENV=production: it says how a program runs, and points at nothing.
func (l *linter) mode(value string) bool {
	if id := format.Identity(&format.Node{Kind: format.Scalar, Value: value}); id != "" {
		value = value[len(id)+1:]
	}
	m := mentions(value, l.opt.envWords)
	return len(m) == 1 && m[0].start == 0 && m[0].end == len(value)
}

// envsNamed reports whether a value names the environment of its member, and
// whether it names another one of the tree.
func (l *linter) envsNamed(m member, value string) (own, other bool) {
	class := envClass(m.spot.env)
	own = contains(value, m.spot.env)
	for _, mention := range mentions(value, l.opt.envWords) {
		switch {
		case !standsAlone(value, mention):
		case mention.class == class, mention.class == "nonprod" && class != "prod" && !standsForProd[class]:
			own = true
		case l.classes[mention.class] && !(standsForProd[class] && mention.class == "prod"):
			other = true
		}
	}
	return own, other
}

// namesProd reports whether production is named in a value.
func (l *linter) namesProd(v string) bool {
	return slices.ContainsFunc(mentions(v, l.opt.envWords), func(m envMention) bool { return m.class == "prod" && standsAlone(v, m) })
}

// envValues finds the members whose value names an environment: another one
// (wrong), or their own. Where something is placed nobody shares with another.
func (l *linter) envValues(classes []*class, d deviation, node func(member) *format.Node, placed bool) (wrong, own []member) {
	for _, c := range classes {
		for _, m := range c.members {
			n := node(m)
			if n == nil || n.Kind != format.Scalar || m.spot.env == "" || d.byEnv[m.spot.env] != nodeText(n) {
				continue
			}
			names, other := l.envsNamed(m, n.Value)
			switch {
			case names:
				own = append(own, m)
			case other:
				wrong = append(wrong, m)
			}
		}
	}
	named := map[string]bool{}
	for _, m := range own {
		named[nodeText(node(m))] = true
	}
	// Environments before production share a mode of running, and things that are
	// named after one of them, but nothing that is named after production.
	wrong = slices.DeleteFunc(wrong, func(m member) bool {
		v := nodeText(node(m))
		if placed || !named[v] || endpoint("", v) || envClass(m.spot.env) == "prod" || !l.mode(v) && l.namesProd(v) {
			return false
		}
		own = append(own, m)
		return true
	})
	byEntry := func(a, b member) int { return int(a.entry) - int(b.entry) }
	slices.SortFunc(wrong, byEntry)
	slices.SortFunc(own, byEntry)
	return wrong, own
}

var (
	endpointForm = regexp.MustCompile(`^(?:[a-z][a-z0-9+.:-]*://\S+|(?:[A-Za-z0-9_-]+\.)+[A-Za-z][A-Za-z0-9-]*:\d+\S*|[A-Za-z][A-Za-z0-9-]*:\d{2,5}|\d+\.\d+\.\d+\.\d+(?::\d+)?\S*)$`)
	hostForm     = regexp.MustCompile(`^(?:[A-Za-z0-9_*-]+\.)+([a-z]{2,})(?:/\S*)?$`)
	hostKey      = regexp.MustCompile(`(?i)host|url|uri|endpoint|addr|domain|server|broker|ingress|upstream|dsn|dns|fqdn|site|proxy|cluster`)
	topDomains   = map[string]bool{"com": true, "net": true, "org": true, "io": true, "local": true, "internal": true, "lan": true, "corp": true, "cloud": true, "svc": true, "intra": true, "intranet": true, "gov": true, "edu": true, "eu": true, "uk": true, "de": true, "cn": true, "fr": true, "us": true}
)

// Keys, in lower case, that say which version of a service runs.
var versionKeys = map[string]bool{"image": true, "digest": true, "tag": true, "newtag": true, "imagetag": true, "image_tag": true, "image-tag": true, "image_version": true, "appversion": true, "app_version": true}

// Keys, in lower case, that say where an image comes from.
var imageKeys = map[string]bool{"newname": true, "repository": true}

// onlyVersion reports whether two values of a key are two versions of one thing.
func onlyVersion(key string, a, b *format.Node) bool {
	if a == nil || b == nil || a.Kind != format.Scalar || b.Kind != format.Scalar || !versionKeys[strings.ToLower(lastPart(key))] {
		return false
	}
	return imageName(a.Value) == imageName(b.Value)
}

// imageName returns an image without its tag and digest, "" for a mere tag.
func imageName(v string) string {
	v, _, _ = strings.Cut(v, "@")
	if i := strings.LastIndexByte(v, ':'); i > strings.LastIndexByte(v, '/') {
		return v[:i]
	}
	if strings.Contains(v, "/") {
		return v
	}
	return ""
}

// endpoint reports whether a value is an address that something connects to.
func endpoint(key, v string) bool {
	if last := strings.ToLower(lastPart(key)); versionKeys[last] || imageKeys[last] {
		return false // docker.io/team/app:2.0 is no address to connect to
	}
	if endpointForm.MatchString(v) {
		return true
	}
	if m := hostForm.FindStringSubmatch(v); m != nil {
		return topDomains[m[1]] || hostKey.MatchString(key)
	}
	if i := strings.IndexByte(v, ','); i > 0 {
		return endpoint(key, strings.TrimSpace(v[:i]))
	}
	return strings.HasPrefix(v, "jdbc:")
}
