package format

import (
	"strconv"
	"strings"
)

// identityKeys name the child that identifies an item of a list, best first.
var identityKeys = []string{"name", "id", "key", "host", "path"}

// Identity returns what tells an item apart from its neighbours: the value of
// its name, id, key, host or path, the kind and name of a Kubernetes object, the
// name of a variable (LOG_LEVEL=info), or the arguments of a repeated block. It is empty where there is none, and never
// what [Parser].Secret hides.
func Identity(item *Node) string {
	if item.Kind == Scalar {
		return variable(item.Value)
	}
	if item.Kind != Map {
		return ""
	}
	if kind := item.Child("kind"); kind != nil && kind.Kind == Scalar {
		if meta := item.Child("metadata"); meta != nil {
			if name := meta.Child("name"); name != nil && name.Value != "" {
				return kind.Value + "/" + name.Value
			}
		}
	}
	if c := item.Child("server_name"); c != nil && c.Value != "" { // an nginx server
		return c.Value
	}
	for _, k := range identityKeys {
		for _, key := range [2]string{k, "@" + k} {
			if c := item.Child(key); c != nil && c.Kind == Scalar && c.Value != "" && !c.secret {
				return c.Value
			}
		}
	}
	return item.Value // the labels of a repeated block
}

// variable returns the name of an item such as LOG_LEVEL=info, as lists of
// variables and labels have them; "" for other text. What padding in base64
// looks like is no name with a value.
func variable(v string) string {
	name, value, found := strings.Cut(v, "=")
	if !found || value == "" || value[0] == '=' || len(name) > 128 {
		return ""
	}
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '.' && c != '-' && (c < '0' || c > '9')) {
			return ""
		}
	}
	return name
}

// identities returns the identity of every item, or nil when one has none or
// two have the same.
func identities(list *Node) []string {
	var out []string
	seen := map[string]bool{}
	for c := list.First; c != nil; c = c.Next {
		id := Identity(c)
		if id == "" || seen[id] {
			return nil
		}
		seen[id] = true
		out = append(out, id)
	}
	return out
}

// Path writes the key path of a trail of d: dotted, a part with a dot in quotes,
// a list item by its identity and else by its index from 0, an attribute after @.
//
//	servers[checkout].port    config.pool@size    a."b.c"    http.server[example].listen
//
// The keys of flat syntaxes (properties, env, key-value) stay as written.
func (d *Document) Path(trail []*Node) string {
	if d.flat() {
		return trail[len(trail)-1].Key
	}
	return pathOf(trail)
}

// flat reports whether a whole path is one key.
func (d *Document) flat() bool { return d.Syntax == Properties || d.Syntax == Env }

func pathOf(trail []*Node) string {
	var b strings.Builder
	for i, n := range trail {
		inList := n.Key == "" && i > 0 && trail[i-1].Kind == List || n.Key == "" && i == 0
		if inList {
			index := 0
			if i > 0 {
				list := trail[i-1]
				if ids := identities(list); ids != nil {
					for c := list.First; c != n; c = c.Next {
						index++
					}
					b.WriteString("[" + ids[index] + "]")
					continue
				}
				for c := list.First; c != nil && c != n; c = c.Next {
					index++
				}
			} else if id := Identity(n); id != "" {
				b.WriteString("[" + id + "]")
				continue
			}
			b.WriteString("[" + strconv.Itoa(index) + "]")
			continue
		}
		appendKey(&b, n.Key)
	}
	return b.String()
}

func appendKey(b *strings.Builder, key string) {
	if strings.HasPrefix(key, "@") {
		b.WriteString(key)
		return
	}
	if b.Len() > 0 {
		b.WriteByte('.')
	}
	if strings.ContainsAny(key, ".[]@\"\n") || key == "" {
		b.WriteString(strconv.Quote(key))
		return
	}
	b.WriteString(key)
}
