package lint

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// A layout is a pattern such as {service}/{env}/{instance}/conf/{file...}.
type layout struct {
	text string
	re   *regexp.Regexp
}

var layoutPart = regexp.MustCompile(`\{([a-z]+)(\.\.\.)?\}`)

// parseLayout reads a layout pattern. Known parts are service, version, env,
// region and instance, each a path element or a part of one, and file... for the rest.
func parseLayout(text string) (layout, error) {
	var b strings.Builder
	b.WriteString("^")
	at := 0
	seen := map[string]bool{}
	for _, m := range layoutPart.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(regexp.QuoteMeta(text[at:m[0]]))
		at = m[1]
		name, rest := text[m[2]:m[3]], m[4] >= 0
		switch name {
		case "service", "version", "env", "region", "instance", "file":
		default:
			return layout{}, fmt.Errorf("layout %q: {%s} is not one of service, version, env, region, instance, file", text, name)
		}
		switch {
		case rest:
			b.WriteString("(?P<" + name + ">.+)")
		case seen[name]:
			b.WriteString("[^/]+")
		case name == "version": // has a number in it, or it would match anything
			b.WriteString("(?P<version>[^/]*?[0-9][^/]*?)")
		default:
			b.WriteString("(?P<" + name + ">[^/]+?)")
		}
		seen[name] = true
	}
	b.WriteString(regexp.QuoteMeta(text[at:]) + "$")
	if !seen["env"] && !seen["instance"] {
		return layout{}, fmt.Errorf("layout %q: neither {env} nor {instance} is in it, so nothing could be compared", text)
	}
	re, err := regexp.Compile(b.String())
	if err != nil {
		return layout{}, fmt.Errorf("layout %q: %w", text, err)
	}
	return layout{strings.TrimPrefix(text, "/"), re}, nil
}

// place matches a path; ok is false where it does not fit.
func (l layout) place(p string) (s spot, rel string, ok bool) {
	m := l.re.FindStringSubmatchIndex(p)
	if m == nil {
		return s, "", false
	}
	get := func(name string) (string, int) {
		i := l.re.SubexpIndex(name)
		if i < 0 || m[2*i] < 0 {
			return "", -1
		}
		return p[m[2*i]:m[2*i+1]], m[2*i+1]
	}
	s.service, _ = get("service")
	s.version, _ = get("version")
	s.region, _ = get("region")
	var envEnd, instanceEnd int
	s.env, envEnd = get("env")
	s.instance, instanceEnd = get("instance")
	end := max(envEnd, instanceEnd)
	if file, _ := get("file"); file != "" {
		rel = file
		if end >= 0 && end <= len(p) {
			rel = strings.TrimPrefix(p[end:], "/")
		}
	}
	slash := strings.IndexByte(p[end:], '/')
	if slash >= 0 {
		s.folder = p[:end+slash]
	} else {
		rel = "" // the environment is in the file's name
	}
	if rel == "" {
		rel = layoutName(l.text)
		if s.service != "" {
			rel = path.Base(rel)
		}
		s.folder = ""
	}
	s.home = s.service
	s.layout = l.text
	return s, rel, true
}

func layoutName(text string) string { return layoutPart.ReplaceAllString(text, "{$1}") }

// placeExplicit assigns files by the patterns that were given.
func (p *placer) placeExplicit() {
	spots := map[spot]*spot{}
	for e := range p.t.entries {
		full := p.t.path(int32(e))
		if p.isManifest(int32(e)) {
			p.manifests = append(p.manifests, int32(e))
			continue
		}
		ok := false
		for _, l := range p.opt.layouts {
			s, rel, fits := l.place(full)
			if !fits {
				continue
			}
			if s.service == "" {
				s.service = p.opt.rootName()
			}
			shared := spots[s]
			if shared == nil {
				shared = &s
				spots[s] = shared
			}
			p.found[l.text]++
			key := groupKey{s.home, s.version, "", rel}
			g := p.groups[key]
			if g == nil {
				g = &group{service: s.service, version: s.version, home: s.home, rel: rel, fleet: s.folder != "", base: -1, layout: l.text}
				p.groups[key] = g
			}
			g.members = append(g.members, member{int32(e), shared})
			if s.env != "" {
				p.envs[s.env] = true
			}
			ok = true
			break
		}
		if !ok {
			p.stray = append(p.stray, int32(e))
		}
	}
	p.emptyExplicit()
}

// emptyExplicit finds instances of an explicit layout that have a directory but no file.
func (p *placer) emptyExplicit() {
	for i := range p.t.folders {
		if len(p.files[i]) > 0 || len(p.children[i]) > 0 || p.paths[i] == "" {
			continue
		}
		for _, l := range p.opt.layouts {
			tail := l.text
			if k := strings.LastIndex(tail, "{instance}"); k >= 0 {
				tail = strings.Trim(tail[k+len("{instance}"):], "/")
			} else {
				continue
			}
			probe := path.Join(p.paths[i], strings.ReplaceAll(tail, "{file...}", "x"))
			if s, _, ok := l.place(probe); ok && s.instance != "" && s.folder == p.paths[i] {
				p.emptySpots = append(p.emptySpots, &s)
				break
			}
		}
	}
}
