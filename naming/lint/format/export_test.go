package format

// SimpleYAML is the quick reader alone; nil where it does not read b.
func SimpleYAML(b []byte) *Document {
	var p Parser
	if n := p.simpleYAML(string(b)); n != nil {
		return &Document{Syntax: YAML, Root: n}
	}
	return nil
}

// FullYAML is the reader for all of YAML alone.
func FullYAML(b []byte) (*Document, error) {
	var p Parser
	n, err := p.fullYAML(b)
	return &Document{Syntax: YAML, Root: n}, err
}
