package file

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/wxops/wxops/naming"
)

// MaxWeight is the largest weight in a file: that of IPVS, the widest range of
// the load balancers that a file may later be carried to.
const MaxWeight naming.Weight = 65535

// maxBytes bounds a file: 16 MiB hold over a hundred thousand instances.
const maxBytes = 16 << 20

// A place is where the digits of a weight stand in the text.
type place struct{ line, column, length int } // line and column from 1, in characters

// names is a parsed file.
type names struct {
	text      []byte
	instances []naming.Instance
	weights   map[string]place // by service/instance
}

// parse reads a names.yaml. Errors begin with the line.
func parse(text []byte) (*names, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("longer than %d MiB", maxBytes>>20)
	}
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8 text")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	n := &names{text: text, weights: map[string]place{}}
	if len(doc.Content) == 0 {
		return nil, errors.New("the file is empty; it needs the key services")
	}
	top, err := mapping(doc.Content[0], "the file", "services")
	if err != nil {
		return nil, err
	}
	if len(top) == 0 {
		return nil, errors.New("the key services is missing")
	}
	services, err := mapping(top[0].value, "services")
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		if err := n.service(s.key, s.value); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(n.instances, func(a, b naming.Instance) int { return strings.Compare(a.Service, b.Service) })
	return n, nil
}

func (n *names) service(key, value *yaml.Node) error {
	if strings.Contains(key.Value, "/") || key.Value == "" {
		return at(key, "service %q is empty or has a slash", key.Value)
	}
	entries, err := mapping(value, "service "+strconv.Quote(key.Value), "layer", "instances")
	if err != nil {
		return err
	}
	layer := naming.Layer("")
	var instances []entry
	for _, e := range entries {
		switch e.key.Value {
		case "layer":
			if layer, err = naming.ParseLayer(e.value.Value); err != nil {
				return at(e.value, "%v", err)
			}
		case "instances":
			if instances, err = mapping(e.value, "instances"); err != nil {
				return err
			}
		}
	}
	if len(instances) == 0 {
		return at(key, "service %q has no instances", key.Value)
	}
	for _, e := range instances {
		in := naming.Instance{Service: key.Value, Name: e.key.Value, Layer: layer, Health: naming.Unchecked}
		if in.Name == "" {
			return at(e.key, "an instance of %q has no name", key.Value)
		}
		if err := n.instance(in, e.value); err != nil {
			return err
		}
	}
	return nil
}

func (n *names) instance(in naming.Instance, value *yaml.Node) error {
	entries, err := mapping(value, "instance "+strconv.Quote(in.ID()), "address", "weight", "health")
	if err != nil {
		return err
	}
	weighted := false
	for _, e := range entries {
		switch e.key.Value {
		case "address":
			in.Address = e.value.Value
		case "weight":
			w, err := strconv.Atoi(e.value.Value)
			if err != nil || w < 0 || w > int(MaxWeight) || e.value.Style != 0 || strconv.Itoa(w) != e.value.Value {
				return at(e.value, "weight %q is not a whole number in 0..%d", e.value.Value, MaxWeight)
			}
			in.Weight, weighted = naming.Weight(w), true
			n.weights[in.ID()] = place{e.value.Line, e.value.Column, len(e.value.Value)}
		case "health":
			in.Health = naming.Health(e.value.Value)
			if !slices.Contains([]naming.Health{naming.Unchecked, naming.Up, naming.Down, naming.Draining, naming.Maintenance}, in.Health) {
				return at(e.value, "health %q is not up, down, drain, maint or no check", e.value.Value)
			}
		}
	}
	if in.Address == "" || !weighted {
		return at(value, "instance %q needs an address and a weight", in.ID())
	}
	n.instances = append(n.instances, in)
	return nil
}

type entry struct{ key, value *yaml.Node }

// mapping returns the entries of a map. Keys may occur once, and must be among
// known if any are given.
func mapping(node *yaml.Node, what string, known ...string) ([]entry, error) {
	if node.Kind != yaml.MappingNode {
		return nil, at(node, "%s is not a map", what)
	}
	var out []entry
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			return nil, at(key, "a key of %s is not a plain word", what)
		case value.Kind == yaml.AliasNode || value.Anchor != "" || key.Value == "<<":
			return nil, at(key, "anchors and aliases are not read, because one weight could then stand for several instances")
		case seen[key.Value]:
			return nil, at(key, "%s has the key %q twice", what, key.Value)
		case len(known) > 0 && !slices.Contains(known, key.Value):
			return nil, at(key, "%s has the unknown key %q; it knows %s", what, key.Value, strings.Join(known, ", "))
		case slices.Contains([]string{"address", "layer", "health", "weight"}, key.Value) && len(known) > 0 && value.Kind != yaml.ScalarNode:
			return nil, at(value, "%s of %s is not a single value", key.Value, what)
		}
		seen[key.Value] = true
		out = append(out, entry{key, value})
	}
	return out, nil
}

func at(node *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %s", node.Line, fmt.Sprintf(format, args...))
}

// set returns the text with the weights given by service/instance, every other
// byte as it was: comments, order and layout stay.
func (n *names) set(weights map[string]naming.Weight) ([]byte, error) {
	type edit struct {
		start, end int
		to         naming.Weight
	}
	var edits []edit
	for id, w := range weights {
		p, ok := n.weights[id]
		if !ok {
			return nil, fmt.Errorf("instance %q: %w", id, naming.ErrUnknown)
		}
		start, err := n.offset(p)
		if err != nil {
			return nil, err
		}
		edits = append(edits, edit{start, start + p.length, w})
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	var out []byte
	from := 0
	for _, e := range edits {
		out = append(out, n.text[from:e.start]...)
		out = strconv.AppendInt(out, int64(e.to), 10)
		from = e.end
	}
	out = append(out, n.text[from:]...)
	// The parser's columns are trusted only if the result reads as intended.
	again, err := parse(out)
	if err != nil {
		return nil, fmt.Errorf("the changed file would not be readable: %w", err)
	}
	for i, in := range n.instances {
		want := in
		if w, ok := weights[in.ID()]; ok {
			want.Weight = w
		}
		if i >= len(again.instances) || again.instances[i] != want {
			return nil, fmt.Errorf("weights cannot be set in this layout; write one key a line")
		}
	}
	return out, nil
}

// offset returns the byte at which a place begins.
func (n *names) offset(p place) (int, error) {
	line, off := 1, 0
	for ; line < p.line; line++ {
		next := strings.IndexByte(string(n.text[off:]), '\n')
		if next < 0 {
			return 0, fmt.Errorf("line %d is beyond the end", p.line)
		}
		off += next + 1
	}
	for range p.column - 1 {
		_, size := utf8.DecodeRune(n.text[off:])
		if size == 0 {
			return 0, fmt.Errorf("line %d has no column %d", p.line, p.column)
		}
		off += size
	}
	if off+p.length > len(n.text) {
		return 0, fmt.Errorf("line %d ends early", p.line)
	}
	return off, nil
}
