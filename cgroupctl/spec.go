package cgroupctl

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wxops/wxops/capacity"
)

// Mode says how the CPU of an online slice is promised.
type Mode string

const (
	Guaranteed Mode = "guaranteed" // counted in full: never promised twice
	Shared     Mode = "shared"     // may be promised more than once, by machine.overcommit.cpu
)

// Pin says whether a slice has cores of its own.
type Pin string

const (
	PinNone      Pin = ""
	PinCores     Pin = "cores"     // whole cores that no other slice of the file may use
	PinPartition Pin = "partition" // the same as a scheduler partition of its own; cgroup v2 only
)

// A Spec is the wish of one slices.yaml after every default is filled in.
type Spec struct {
	Parent    string         // folder that holds all slices, one level below each hierarchy
	Location  *time.Location // in which windows are meant
	Reserve   Reserve
	Promise   Overcommit
	Online    []Slice
	Offline   *Pool
	Windows   []Window
	Evictions time.Duration // how long memory pressure may last before an offline job dies
}

// Reserve is what the machine keeps for itself.
type Reserve struct {
	CPURatio       float64 // of all cores, 0 to 1
	MemoryRatio    float64 // of all memory, 0 to 1
	MemoryMinBytes int64   // but at least this
}

// DefaultReserve keeps the kernel, an agent and a login going.
var DefaultReserve = Reserve{CPURatio: 0.05, MemoryRatio: 0.10, MemoryMinBytes: 256 << 20}

// Overcommit is how often shared resources may be promised; 1 is once.
type Overcommit struct{ CPU, Memory float64 }

// A Slice is one online slice.
type Slice struct {
	Name     string
	Service  string
	Instance string
	Shape    capacity.Shape
	Mode     Mode
	Pin      Pin
	Ceiling  float64        // hard CPU limit as a multiple of the shape; 0 means weight only
	Burst    float64        // share of the limit that may be saved up for a burst, 0 to 1
	Match    *regexp.Regexp // on the command line; nil when membership is not watched
}

// LimitMilliCPU returns the hard limit in thousandths of a core, 0 for none.
func (s Slice) LimitMilliCPU() int64 {
	return int64(math.Round(s.Ceiling * float64(s.Shape.MilliCPU)))
}

// A Pool is the slice of all offline work.
type Pool struct {
	Name             string
	MemoryBytes      int64
	IOBytesPerSecond int64 // limit of reads and of writes per disk on v1; 0 for none
}

type yamlSpec struct {
	Version  int    `yaml:"version"`
	Parent   string `yaml:"parent"`
	Timezone string `yaml:"timezone"`
	Machine  struct {
		Reserve struct {
			CPU       *string `yaml:"cpu"`
			Memory    *string `yaml:"memory"`
			MemoryMin *string `yaml:"memory_min"`
		} `yaml:"reserve"`
		Overcommit struct {
			CPU    *float64 `yaml:"cpu"`
			Memory *float64 `yaml:"memory"`
		} `yaml:"overcommit"`
	} `yaml:"machine"`
	Online  []yamlSlice `yaml:"online"`
	Offline *yamlPool   `yaml:"offline"`
	Windows []struct {
		Name      string   `yaml:"name"`
		From      string   `yaml:"from"`
		To        string   `yaml:"to"`
		Rule      string   `yaml:"rule"`
		Target    *float64 `yaml:"target"`
		NoNewJobs string   `yaml:"no_new_jobs"`
	} `yaml:"windows"`
}

type yamlSlice struct {
	Name     string   `yaml:"name"`
	Service  string   `yaml:"service"`
	Instance string   `yaml:"instance"`
	Shape    string   `yaml:"shape"`
	Mode     string   `yaml:"mode"`
	Pin      string   `yaml:"pin"`
	Ceiling  *float64 `yaml:"ceiling"`
	Burst    float64  `yaml:"burst"`
	Match    string   `yaml:"match"`
}

type yamlPool struct {
	Name   string `yaml:"name"`
	Memory string `yaml:"memory"`
	IO     string `yaml:"io"`
}

const maxSpecBytes = 1 << 20 // a thousand slices are 200 KiB

// ReadSpec reads slices.yaml strictly: an unknown key, a second document, a
// missing value or one out of its range is an [Error] with Input set.
func ReadSpec(r io.Reader) (*Spec, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSpecBytes+1))
	if err != nil {
		return nil, refuse("read slices").because(err)
	}
	if len(b) > maxSpecBytes {
		return nil, badInput("slices file is longer than %d KiB", maxSpecBytes>>10)
	}
	var y yamlSpec
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&y); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, badInput("slices file is empty").hint("it begins with version: 1")
		}
		return nil, badInput("slices file is not valid").because(plainYAML(err))
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, badInput("slices file has more than one document")
	}
	return y.spec()
}

var (
	yamlUnknown = regexp.MustCompile(`(line \d+): field (\S+) not found in type (.*)`)
	yamlType    = regexp.MustCompile(`(line \d+): cannot unmarshal !!(\w+) ?(.*) into .*`)
)

// plainYAML takes the names of Go types out of the decoder's message.
func plainYAML(err error) error {
	s := strings.TrimPrefix(err.Error(), "yaml: ")
	s = strings.TrimPrefix(s, "unmarshal errors:\n  ")
	s = yamlUnknown.ReplaceAllStringFunc(s, func(line string) string {
		m := yamlUnknown.FindStringSubmatch(line)
		return fmt.Sprintf("%s: unknown key %q; accepted here are %s", m[1], m[2], strings.Join(keysOf(reflect.TypeFor[yamlSpec](), m[3]), ", "))
	})
	return errors.New(yamlType.ReplaceAllStringFunc(s, func(line string) string {
		m := yamlType.FindStringSubmatch(line)
		switch {
		case m[3] != "":
		case m[2] == "seq":
			m[3] = "a list"
		default:
			m[3] = "a mapping"
		}
		return fmt.Sprintf("%s: %s is not of the kind that is expected here", m[1], m[3])
	}))
}

// keysOf lists the keys of the struct that the decoder calls name, in t or below.
func keysOf(t reflect.Type, name string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var own []string
	for i := range t.NumField() {
		if found := keysOf(t.Field(i).Type, name); found != nil {
			return found
		}
		own = append(own, t.Field(i).Tag.Get("yaml"))
	}
	if t.String() != name {
		return nil
	}
	return own
}

// nameForm leaves out what a path, a unit or a control file could be mistaken for.
var nameForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$`)

func checkName(what, name string) error {
	switch {
	case nameForm.MatchString(name) && name != "tasks":
		return nil
	case strings.Contains(name, "/"):
		return badInput("%s %q has a slash; slices are not nested", what, name).hint("use a name of letters, digits, - and _")
	default:
		return badInput("%s %q is not a folder name; accepted are 1 to 63 letters, digits, - and _, the first a letter or a digit", what, name)
	}
}

func (y *yamlSpec) spec() (*Spec, error) {
	if y.Version == 0 {
		return nil, badInput("the slices file has no version").hint("write version: 1")
	}
	if y.Version != 1 {
		return nil, badInput("version %d of the slices file is unknown; this wxops reads version 1", y.Version).hint("write version: 1")
	}
	s := &Spec{
		Parent: y.Parent, Location: time.Local, Evictions: 10 * time.Second,
		Reserve: DefaultReserve,
		Promise: Overcommit{CPU: 1, Memory: 1},
	}
	if s.Parent == "" {
		s.Parent = "wxops"
	}
	if err := checkName("parent", s.Parent); err != nil {
		return nil, err
	}
	if y.Timezone != "" {
		l, err := time.LoadLocation(y.Timezone)
		if err != nil {
			return nil, badInput("timezone %q is unknown", y.Timezone).because(err).hint("use a name as in Asia/Shanghai, or leave timezone out for the machine's")
		}
		s.Location = l
	}
	if err := y.machine(s); err != nil {
		return nil, err
	}
	if err := y.slices(s); err != nil {
		return nil, err
	}
	return s, y.windows(s)
}

func (y *yamlSpec) machine(s *Spec) error {
	for _, f := range []struct {
		key  string
		text *string
		to   *float64
	}{{"cpu", y.Machine.Reserve.CPU, &s.Reserve.CPURatio}, {"memory", y.Machine.Reserve.Memory, &s.Reserve.MemoryRatio}} {
		if f.text == nil {
			continue
		}
		v, err := parseRatio(*f.text)
		if err != nil {
			return badInput("machine.reserve.%s", f.key).because(err)
		}
		*f.to = v
	}
	if t := y.Machine.Reserve.MemoryMin; t != nil {
		v, err := parseBytes(*t)
		if err != nil {
			return badInput("machine.reserve.memory_min").because(err)
		}
		s.Reserve.MemoryMinBytes = v
	}
	for _, f := range []struct {
		key   string
		value *float64
		to    *float64
	}{{"cpu", y.Machine.Overcommit.CPU, &s.Promise.CPU}, {"memory", y.Machine.Overcommit.Memory, &s.Promise.Memory}} {
		if f.value == nil {
			continue
		}
		if !(*f.value >= 1 && *f.value <= 100) {
			return badInput("machine.overcommit.%s %v is outside [1, 100]", f.key, *f.value)
		}
		*f.to = *f.value
	}
	return nil
}

func (y *yamlSpec) slices(s *Spec) error {
	seen := map[string]bool{}
	for i, o := range y.Online {
		where := fmt.Sprintf("online[%d]", i)
		if o.Name == "" {
			return badInput("%s has no name", where).hint("write name: checkout")
		}
		if err := checkName(where+": name", o.Name); err != nil {
			return err
		}
		if seen[o.Name] {
			return badInput("%s: name %q is used twice", where, o.Name)
		}
		seen[o.Name] = true
		slice, err := o.slice()
		if err != nil {
			return err
		}
		s.Online = append(s.Online, slice)
	}
	if y.Offline == nil {
		return nil
	}
	pool, err := y.Offline.pool()
	if err != nil {
		return err
	}
	if seen[pool.Name] {
		return badInput("offline: name %q is used by an online slice", pool.Name)
	}
	s.Offline = pool
	return nil
}

// slice fills in the defaults of a slice whose name is valid.
func (o *yamlSlice) slice() (Slice, error) {
	where := "slice " + o.Name
	if o.Shape == "" {
		return Slice{}, badInput("%s has no shape", where).hint("write shape: 1C1G; accepted is CPU then memory")
	}
	shape, err := capacity.ParseShape(o.Shape)
	if err != nil {
		return Slice{}, badInput("%s has a shape that cannot be read", where).because(err)
	}
	s := Slice{Name: o.Name, Service: o.Service, Instance: o.Instance, Shape: shape, Mode: Mode(o.Mode), Pin: Pin(o.Pin), Burst: o.Burst}
	switch s.Mode {
	case "":
		s.Mode = Guaranteed
	case Guaranteed, Shared:
	default:
		return s, badInput("%s: mode %q is not one of guaranteed, shared", where, o.Mode)
	}
	switch s.Pin {
	case PinNone:
	case PinCores, PinPartition:
		if s.Mode != Guaranteed || shape.MilliCPU%1000 != 0 {
			return s, badInput("%s: pin needs mode guaranteed and whole cores; it has %s and %s", where, s.Mode, shape)
		}
	default:
		return s, badInput("%s: pin %q is not one of cores, partition", where, o.Pin)
	}
	if o.Ceiling != nil {
		s.Ceiling = *o.Ceiling
		if !(s.Ceiling > 0 && s.Ceiling <= 1000) || s.LimitMilliCPU() < 10 {
			return s, badInput("%s: ceiling %v is outside (0, 1000] or gives less than 10m, the kernel's least quota in a period of 100 ms", where, *o.Ceiling)
		}
	}
	if !(o.Burst >= 0 && o.Burst <= 1) || o.Burst > 0 && o.Ceiling == nil {
		return s, badInput("%s: burst %v must be within [0, 1], a share of the ceiling, and needs one", where, o.Burst)
	}
	if o.Match != "" {
		if s.Match, err = regexp.Compile(o.Match); err != nil {
			return s, badInput("%s: match", where).because(err)
		}
	}
	return s, nil
}

func (o *yamlPool) pool() (*Pool, error) {
	p := &Pool{Name: cmp.Or(o.Name, "offline")}
	if err := checkName("offline: name", p.Name); err != nil {
		return nil, err
	}
	if o.Memory == "" {
		return nil, badInput("offline has no memory").hint("write memory: 4G, the most that offline work may use")
	}
	var err error
	if p.MemoryBytes, err = parseBytes(o.Memory); err != nil {
		return nil, badInput("offline: memory").because(err)
	}
	if o.IO != "" {
		if p.IOBytesPerSecond, err = parseBytes(o.IO); err != nil {
			return nil, badInput("offline: io").because(err)
		}
	}
	return p, nil
}

// parseRatio reads "5%" or "0.05" as 0.05; the range is [0, 1).
func parseRatio(s string) (float64, error) {
	text, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	v, err := strconv.ParseFloat(text, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v < 1) {
		return 0, fmt.Errorf("%q is not a share from 0%% up to but not including 100%%", s)
	}
	return v, nil
}

// parseBytes reads a positive size in MiB or GiB: 512M, 256MiB, 4G, 4GiB.
func parseBytes(s string) (int64, error) {
	text := strings.TrimSuffix(strings.TrimSpace(s), "iB")
	shift := 0
	switch {
	case strings.HasSuffix(text, "M"):
		shift = 20
	case strings.HasSuffix(text, "G"):
		shift = 30
	}
	v, err := strconv.ParseInt(strings.TrimRight(text, "MG"), 10, 32)
	if err != nil || v <= 0 || shift == 0 || len(text) < 2 || strings.ContainsAny(text[:len(text)-1], "MG") {
		return 0, fmt.Errorf("%q is not a size such as 512M, 256MiB or 4G", s)
	}
	return v << shift, nil
}

// A Machine is what there is to share out.
type Machine struct {
	MilliCPU    int64
	MemoryBytes int64
}

// Allocatable returns what is left of m for slices after the reserve.
func (r Reserve) Allocatable(m Machine) Machine {
	memory := max(int64(r.MemoryRatio*float64(m.MemoryBytes)), r.MemoryMinBytes)
	return Machine{
		MilliCPU:    m.MilliCPU - int64(math.Ceil(r.CPURatio*float64(m.MilliCPU))),
		MemoryBytes: max(0, m.MemoryBytes-memory),
	}
}

// fits returns nil when m carries every slice of s, or an [Error] with Input set
// that names the sum and the room. Guaranteed CPU must fit once; all CPU fits
// overcommit.cpu times; memory, the offline pool's included, fits
// overcommit.memory times.
func (s *Spec) fits(m Machine) error {
	room := s.Reserve.Allocatable(m)
	var promised, cpu, memory, pinned int64
	for _, o := range s.Online {
		cpu += o.Shape.MilliCPU
		memory += o.Shape.MemoryBytes
		if o.Mode == Guaranteed {
			promised += o.Shape.MilliCPU
		}
		if o.Pin != PinNone {
			pinned += o.Shape.MilliCPU
		}
	}
	if s.Offline != nil {
		memory += s.Offline.MemoryBytes
	}
	small := func(format string, args ...any) error {
		return badInput("the machine is too small: "+format, args...).
			hint("take slices out, or see wxops slice partition --machine")
	}
	if promised > room.MilliCPU {
		return small("guaranteed slices need %dm of CPU, %dm are left beside the reserve", promised, room.MilliCPU)
	}
	if most := int64(float64(room.MilliCPU) * s.Promise.CPU); cpu > most {
		return small("online slices need %dm of CPU, at most %dm may be promised (overcommit.cpu %v)", cpu, most, s.Promise.CPU)
	}
	if most := int64(float64(room.MemoryBytes) * s.Promise.Memory); memory > most {
		return small("slices need %d MiB of memory, %d MiB are left beside the reserve (overcommit.memory %v)", memory>>20, most>>20, s.Promise.Memory)
	}
	if pinned > 0 && pinned > m.MilliCPU-1000 {
		return small("pinned slices take %d cores of %d; one must stay for the rest", pinned/1000, m.MilliCPU/1000)
	}
	return nil
}
