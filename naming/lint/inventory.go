package lint

import (
	"fmt"
	"strings"

	"github.com/wxops/wxops/naming/lint/format"
)

// An Inventory is what is deployed, as operations know it.
type Inventory struct {
	Environments []string
	Instances    []Deployed
	Slices       []string // standard slices, lower case; none: the usual shapes
	Names        []string // registered names of the name service

	byService map[string][]int32 // into Instances
	envs      map[string]bool
	names     map[string]bool
}

// Deployed is one instance.
type Deployed struct{ Service, Env, Instance, Host, IP string }

// ReadInventory reads an inventory in JSON or YAML. Field names may have any case.
func ReadInventory(b []byte) (*Inventory, error) {
	var p format.Parser
	syntax := format.YAML
	if s := strings.TrimSpace(string(b[:min(len(b), 512)])); strings.HasPrefix(s, "{") {
		syntax = format.JSON
	}
	d, err := p.Parse(syntax, b)
	if err != nil {
		return nil, err
	}
	v := &Inventory{byService: map[string][]int32{}, envs: map[string]bool{}, names: map[string]bool{}}
	if d.Root.Kind != format.Map {
		return nil, fmt.Errorf("an inventory is a map with environments, instances, slices or names")
	}
	known := false
	for c := d.Root.First; c != nil; c = c.Next {
		switch strings.ToLower(c.Key) {
		case "environments", "envs":
			v.Environments = append(v.Environments, texts(c)...)
		case "slices":
			for _, s := range texts(c) {
				v.Slices = append(v.Slices, strings.ToLower(s))
			}
		case "names":
			v.Names = append(v.Names, texts(c)...)
		case "instances":
			for i := c.First; i != nil; i = i.Next {
				v.Instances = append(v.Instances, deployed(i))
			}
		default:
			continue
		}
		known = true
	}
	if !known {
		return nil, fmt.Errorf("none of environments, envs, instances, slices, names is in it")
	}
	for k, i := range v.Instances {
		v.byService[i.Service] = append(v.byService[i.Service], int32(k))
		if i.Env != "" {
			v.envs[i.Env] = true
		}
	}
	for _, e := range v.Environments {
		v.envs[e] = true
	}
	for _, n := range v.Names {
		v.names[n] = true
	}
	return v, nil
}

// texts returns the scalars of a list, or the names of the maps in it.
func texts(n *format.Node) []string {
	var out []string
	for c := n.First; c != nil; c = c.Next {
		switch {
		case c.Kind == format.Scalar && c.Key == "":
			out = append(out, c.Value)
		case c.Kind == format.Map && format.Identity(c) != "":
			out = append(out, format.Identity(c))
		case n.Kind == format.Map:
			out = append(out, c.Key)
		}
	}
	return out
}

func deployed(n *format.Node) Deployed {
	var d Deployed
	for c := n.First; c != nil; c = c.Next {
		switch strings.ToLower(c.Key) {
		case "service":
			d.Service = c.Value
		case "env", "environment":
			d.Env = c.Value
		case "instance", "name":
			d.Instance = c.Value
		case "host", "hostname":
			d.Host = c.Value
		case "ip", "address":
			d.IP = c.Value
		}
	}
	return d
}

func (v *Inventory) hasEnv(name string) bool { return v != nil && v.envs[name] }

func (v *Inventory) knowsNames() bool { return v != nil && len(v.names) > 0 }

func (v *Inventory) hasInstance(service, name string) bool {
	if v == nil {
		return false
	}
	for _, k := range v.byService[service] {
		if d := &v.Instances[k]; d.Instance == name || d.Host == name {
			return true
		}
	}
	return false
}

// of returns the inventory's entry of a spot.
func (v *Inventory) of(s *spot) (Deployed, bool) {
	if v == nil {
		return Deployed{}, false
	}
	for _, k := range v.byService[s.service] {
		if d := v.Instances[k]; (d.Instance == s.instance || d.Host == s.instance) && (d.Env == s.env || d.Env == "") {
			return d, true
		}
	}
	return Deployed{}, false
}

// namesOf returns what else an instance is called: its host name and address.
func (v *Inventory) namesOf(s *spot) []string {
	if d, ok := v.of(s); ok {
		return []string{d.Host, d.IP}
	}
	return nil
}

// standardSlices are the shapes of the usual cloud slices, for trees without an inventory.
var standardSlices = []string{"1c1g", "1c2g", "1c4g", "2c2g", "2c4g", "2c8g", "4c4g", "4c8g", "4c16g", "8c8g", "8c16g", "8c32g", "16c16g", "16c32g", "16c64g", "host"}

func (v *Inventory) slices() []string {
	if v == nil || len(v.Slices) == 0 {
		return standardSlices
	}
	return v.Slices
}
