package stress

import "math"

// GateDocument is the data of wxops/verdict/v1: what a comparison of two
// versions of a service says.
type GateDocument struct {
	Verdict GateVerdict  `json:"verdict" doc:"pass, regression or undecided"`
	Reason  string       `json:"reason" doc:"why, in words"`
	Mode    string       `json:"mode" doc:"documents or side-by-side"`
	Metrics []GateMetric `json:"metrics" doc:"what was compared"`
}

// A GateMetric is one metric of the comparison.
type GateMetric struct {
	Name    string      `json:"name" doc:"p99_seconds, cpu_seconds_per_request or capacity_per_second"`
	Verdict GateVerdict `json:"verdict" doc:"pass, regression or undecided"`
	Base    float64     `json:"base" doc:"geometric mean of the base, in the unit of the name"`
	New     float64     `json:"new" doc:"geometric mean of the new version"`
	Effect  float64     `json:"effect_ratio" doc:"new/base - 1"`
	Low     *float64    `json:"low_ratio" doc:"lower end of the 99.8 % interval; null if unknown"`
	High    *float64    `json:"high_ratio" doc:"upper end; null if unknown"`
	Windows int         `json:"windows" doc:"values compared on each side"`
}

// NewGateDocument puts effects in the form of the document.
func NewGateDocument(v GateVerdict, effects []Effect) GateDocument {
	d := GateDocument{Verdict: v, Metrics: []GateMetric{}}
	for _, e := range effects {
		m := GateMetric{Name: e.Name, Verdict: e.Verdict, Base: e.Base, New: e.New, Effect: e.Effect, Windows: e.Windows}
		if !math.IsInf(e.High, 1) {
			m.Low, m.High = &e.Low, &e.High
		}
		d.Metrics = append(d.Metrics, m)
	}
	return d
}
