package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// Records makes the CSV of a result the data of its document instead of the table
// for people: columns have the names of the JSON keys, numbers are those of the
// JSON. There is one row for each entry of the named lists of data, in a column
// list the name of its list where several are named; the single values of data
// stand in every row, unless the entry has a key of the same name. An object in
// data is the columns object.key, a null an empty cell. Without an entry it is one
// row of the single values.
func (o *Output) Records(lists ...string) {
	o.records, o.lists = true, lists
}

// A record is the cells of a row by the names of their columns, in order.
type record struct {
	names []string
	cells map[string]string
}

// set gives the record a cell, unless it has one of that name.
func (r *record) set(name, cell string) {
	if _, ok := r.cells[name]; !ok {
		r.names = append(r.names, name)
		r.cells[name] = cell
	}
}

// add sets a cell for each single value of an object, those of inner objects
// under prefix.
func (r *record) add(object *yaml.Node, prefix string) {
	for i := 0; i+1 < len(object.Content); i += 2 {
		name, value := prefix+object.Content[i].Value, object.Content[i+1]
		switch {
		case value.Kind == yaml.MappingNode:
			r.add(value, name+".")
		case value.Kind != yaml.ScalarNode:
		case value.Tag == "!!null":
			r.set(name, "")
		default:
			r.set(name, value.Value)
		}
	}
}

// writeRecords prints the data of document as CSV, as Records says.
func writeRecords(w io.Writer, document []byte, lists []string) error {
	var root yaml.Node // JSON is YAML, and its nodes keep the order of the keys
	if err := yaml.Unmarshal(document, &root); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	data := member(root.Content[0], "data")
	if data == nil {
		return errors.New("write csv: a document without data")
	}
	var rows []record
	for _, list := range lists {
		entries := member(data, list)
		if entries == nil {
			continue
		}
		for _, entry := range entries.Content {
			r := record{cells: map[string]string{}}
			if len(lists) > 1 {
				r.set("list", list)
			}
			r.add(entry, "")
			r.add(data, "")
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		r := record{cells: map[string]string{}}
		r.add(data, "")
		rows = append(rows, r)
	}
	head := record{cells: map[string]string{}}
	for _, r := range rows {
		for _, name := range r.names {
			head.set(name, "")
		}
	}
	c := csv.NewWriter(w)
	all := [][]string{head.names}
	for _, r := range rows {
		line := make([]string, len(head.names))
		for i, name := range head.names {
			line[i] = r.cells[name]
		}
		all = append(all, line)
	}
	return c.WriteAll(all)
}

// member is the value of a key of an object, nil without it.
func member(object *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(object.Content); i += 2 {
		if object.Content[i].Value == key {
			return object.Content[i+1]
		}
	}
	return nil
}
