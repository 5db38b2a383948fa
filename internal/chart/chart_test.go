package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wxops/wxops/internal/goldentest"
)

// curve is the p99 of an M/M/1 queue with 700 requests a second at most.
func curve() Figure {
	s := Series{Name: "measured", Style: Scatter}
	fit := Series{Name: "model", Role: Dim}
	for rate := 100.0; rate < 690; rate += 10 {
		p99 := math.Log(100) / (700 - rate)
		fit.X, fit.Y = append(fit.X, rate), append(fit.Y, p99)
		if int(rate)%50 == 0 {
			s.X, s.Y = append(s.X, rate), append(s.Y, p99*1.03)
		}
	}
	return Figure{
		Title:  "checkout/a: p99 against throughput",
		About:  "The 99 % quantile of the response time grows with throughput and passes 50 ms at 608 requests a second.",
		X:      Axis{Label: "throughput", Unit: "req/s"},
		Y:      Axis{Label: "p99", Unit: "s", Max: 0.08},
		Series: []Series{fit, s},
		Rules:  []Rule{{Name: "objective 50 ms", Value: 0.05}},
		Marks:  []Mark{{Name: "knee 608 (590-625)", X: 608, Low: 590, High: 625, Y: math.NaN()}},
	}
}

func fan() Figure {
	past := Series{Name: "demand"}
	next := Series{Name: "forecast", Role: Knee}
	plan := Series{Name: "planned capacity", Style: Step, Role: Good, X: []float64{0, 20, 30}, Y: []float64{30e3, 40e3, 40e3}}
	band := Interval{Name: "95 %"}
	for d := range 31 {
		x := float64(d)
		y := 20e3 + 400*x + 3000*math.Sin(x/7*2*math.Pi)
		if d <= 20 {
			past.X, past.Y = append(past.X, x), append(past.Y, y)
		}
		if d >= 20 {
			next.X, next.Y = append(next.X, x), append(next.Y, y)
			band.X, band.Low, band.High = append(band.X, x), append(band.Low, y-200*(x-20)), append(band.High, y+300*(x-20))
		}
	}
	return Figure{
		Title: "Demand and planned capacity", About: "Thirty days of demand with its forecast and the planned steps.",
		X: Axis{Label: "day"}, Y: Axis{Label: "requests", Unit: "req/s"},
		Bands: []Interval{band}, Series: []Series{past, next, plan},
		Rules: []Rule{{Name: "today", Value: 20, Vertical: true}},
	}
}

func heat() Heat {
	h := Heat{Title: "Response times over time", About: "Most requests take 10 ms; from second 20 on a tail grows to 200 ms.", X: Axis{Label: "time", Unit: "s"}, Y: Axis{Label: "response time", Unit: "s"}, Rules: []Rule{{Name: "objective 50 ms", Value: 0.05}}}
	for b := 0.002; b < 0.5; b *= 1.5 {
		h.Bounds = append(h.Bounds, b)
	}
	for i := range 40 {
		h.Times = append(h.Times, float64(i))
		column := make([]float64, len(h.Bounds))
		for j, b := range h.Bounds {
			column[j] = math.Floor(1000 * math.Exp(-math.Pow(math.Log(b/0.01)/0.4, 2)))
			if i > 20 {
				column[j] += math.Floor(float64(i-20) * math.Exp(-math.Pow(math.Log(b/0.05)/0.6, 2)))
			}
		}
		h.Counts = append(h.Counts, column)
	}
	return h
}

func TestFiguresAsText(t *testing.T) {
	log := curve()
	log.Y.Log, log.Y.Max = true, 0
	for name, draw := range map[string]func(g *Grid, ascii bool){
		"curve": func(g *Grid, ascii bool) { curve().Draw(g, 0, 0, g.W, g.H, ascii) },
		"log":   func(g *Grid, ascii bool) { log.Draw(g, 0, 0, g.W, g.H, ascii) },
		"fan":   func(g *Grid, ascii bool) { fan().Draw(g, 0, 0, g.W, g.H, ascii) },
		"heat":  func(g *Grid, ascii bool) { heat().Draw(g, 0, 0, g.W, g.H, ascii) },
	} {
		for _, ascii := range []bool{false, true} {
			g := NewGrid(64, 16)
			draw(g, ascii)
			kind := ".txt"
			if ascii {
				kind = ".ascii.txt"
				if strings.ContainsFunc(g.String(), func(r rune) bool { return r >= utf8.RuneSelf }) {
					t.Errorf("%s as ASCII has other characters:\n%s", name, g)
				}
			}
			goldentest.Compare(t, filepath.Join("testdata", name+kind), []byte(g.String()))
		}
	}
}

func TestFiguresAsPictures(t *testing.T) {
	screen := NewGrid(40, 8)
	screen.Put(0, 0, Strong, "RAMP")
	screen.Put(6, 0, Plain, "12 s & <more>   after a gap")
	screen.Put(0, 1, Good, Bar(0.4, 12, false))
	screen.Put(14, 1, Data, Sparkline([]float64{1, 2, 4, 8, 16}, 8, 0, false))
	c := curve()
	c.Draw(screen, 0, 2, 40, 6, false)
	for name, svg := range map[string][]byte{
		"curve.svg":  curve().SVG(640, 360),
		"fan.svg":    fan().SVG(640, 360),
		"heat.svg":   heat().SVG(640, 360),
		"screen.svg": screen.SVG("A screen", "Parts of a screen."),
	} {
		goldentest.Compare(t, filepath.Join("testdata", name), svg)
		checkSVG(t, name, svg)
	}
}

func TestFiguresBelowEachOther(t *testing.T) {
	long := curve()
	long.Title = strings.Repeat("a long name & ", 40)
	svg := Stack("Two", "A curve and a fan.", []Figure{long, fan()}, 640, 360)
	checkSVG(t, "stack", svg)
	if n := strings.Count(string(svg), "<svg "); n != 3 || !strings.Contains(string(svg), `viewBox="0 0 640 720"`) {
		t.Errorf("%d pictures in %.200s", n, svg)
	}
	if got, want := fan().Legend(), "line: demand, forecast; stairs: planned capacity; shade: 95 %"; got != want {
		t.Errorf("legend %q, want %q", got, want)
	}
}

// checkSVG holds what every picture promises: well-formed, nothing from
// elsewhere, no script, named and described, small.
func checkSVG(t *testing.T, name string, svg []byte) {
	t.Helper()
	seen := map[string]int{}
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e, ok := token.(xml.StartElement); ok {
			seen[e.Name.Local]++
			for _, a := range e.Attr {
				if a.Name.Local == "href" || strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s: attribute %s=%q", name, a.Name.Local, a.Value)
				}
			}
		}
	}
	if seen["title"] != 1 || seen["desc"] != 1 || seen["script"]+seen["image"]+seen["foreignObject"] > 0 || seen["text"] == 0 {
		t.Errorf("%s: elements %v", name, seen)
	}
	if len(svg) > 40_000 {
		t.Errorf("%s: %d bytes", name, len(svg))
	}
}

func TestNiceStepDividesIntoFewRoundParts(t *testing.T) {
	for width := 0.001; width < 1e7; width *= 1.37 {
		for n := 1; n < 12; n++ {
			step := niceStep(width, n)
			if parts := width / step; parts > float64(n)*(1+1e-9) || parts < float64(n)/2.51 {
				t.Fatalf("niceStep(%v, %d) = %v: %v parts", width, n, step, parts)
			}
			mantissa := step / math.Pow(10, math.Floor(math.Log10(step)+1e-9))
			if !strings.Contains(" 1 2 2.5 5 10 ", " "+strings.TrimRight(strings.TrimRight(strconv.FormatFloat(mantissa, 'f', 6, 64), "0"), ".")+" ") {
				t.Fatalf("niceStep(%v, %d) = %v is not round", width, n, step)
			}
		}
	}
}

func TestAxisCoversItsValuesWithTicksInside(t *testing.T) {
	for _, log := range []bool{false, true} {
		for lo := 1e-4; lo < 1e6; lo *= 7 {
			for _, ratio := range []float64{1, 1.001, 1.5, 3, 40, 1e5} {
				s := Axis{Unit: "req/s", Log: log}.scale(span{lo, lo * ratio}, 6)
				if s.min > lo*(1+1e-9) || s.max < lo*ratio*(1-1e-9) || !(s.max > s.min) {
					t.Fatalf("log %v: %v..%v is scaled to %v..%v", log, lo, lo*ratio, s.min, s.max)
				}
				if len(s.ticks) == 0 || len(s.ticks) > 9 {
					t.Fatalf("log %v: %v..%v has %d ticks", log, lo, lo*ratio, len(s.ticks))
				}
				for i, tick := range s.ticks {
					if tick.at < -1e-6 || tick.at > 1+1e-6 || i > 0 && tick.text == s.ticks[i-1].text {
						t.Fatalf("log %v: %v..%v has ticks %+v", log, lo, lo*ratio, s.ticks)
					}
				}
			}
		}
	}
}

func TestUnitsFitTheSize(t *testing.T) {
	for _, c := range []struct {
		unit    string
		largest float64
		want    string
	}{
		{"s", 0.05, "ms"},
		{"s", 5e-5, "µs"},
		{"s", 12, "s"},
		{"s", 20000, "h"},
		{"s", 1e6, "d"},
		{"ratio", 0.3, "%"},
		{"B", 3 << 30, "GiB"},
		{"B", 100, "B"},
		{"req/s", 5000, "req/s"},
		{"req/s", 50000, "k req/s"},
		{"req/s", 5e7, "M req/s"},
	} {
		if _, got := unitFactor(c.unit, c.largest); got != c.want {
			t.Errorf("unit of %v %s is %q, want %q", c.largest, c.unit, got, c.want)
		}
	}
}

// No input may make a figure panic or write outside its cells.
func TestFiguresOfAnySizeAndContentStayInTheirCells(t *testing.T) {
	strange := curve()
	strange.Series = append(strange.Series, Series{X: []float64{math.NaN(), 1e300, -1e300, 5}, Y: []float64{1, math.Inf(1), 2}})
	strange.Bands = []Interval{{X: []float64{1, 1, 2}, Low: []float64{1}, High: nil}}
	for _, f := range []Figure{{}, curve(), fan(), strange, {Series: []Series{{X: []float64{3}, Y: []float64{4}}}}, {X: Axis{Log: true}, Y: Axis{Log: true}, Series: []Series{{X: []float64{0, -1}, Y: []float64{0, 1}}}}} {
		for w := 0; w < 70; w += 3 {
			for h := 0; h < 20; h++ {
				g := NewGrid(w+4, h+4)
				f.Draw(g, 2, 2, w, h, w%2 == 0)
				heat().Draw(g, 2, 2, w, h, w%2 == 0)
				for y := range g.H {
					for x := range g.W {
						inside := x >= 2 && x < 2+w && y >= 2 && y < 2+h
						if !inside && g.cells[y*g.W+x].r != 0 {
							t.Fatalf("%dx%d: cell %d,%d outside the figure holds %q:\n%s", w, h, x, y, g.cells[y*g.W+x].r, g)
						}
					}
				}
			}
		}
		f.SVG(300, 200)
	}
}

func TestSparklineAndBar(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		width   int
		highest float64
		want    string
	}{
		{nil, 3, 0, "   "},
		{[]float64{0, 0}, 4, 0, "  ▁▁"},
		{[]float64{0, 1, 2, 3, 4, 5, 6, 7}, 8, 8, "▁▂▃▄▅▆▇█"},
		{[]float64{1, math.NaN(), 1}, 3, 0, "█ █"},
		{[]float64{9, 1, 1, 1, 1}, 3, 8, "█▂▂"}, // two values a column, the peak kept
	} {
		if got := Sparkline(c.values, c.width, c.highest, false); got != c.want {
			t.Errorf("Sparkline(%v, %d) = %q, want %q", c.values, c.width, got, c.want)
		}
	}
	for ratio, want := range map[float64]string{0: "····", 0.5: "██··", 0.53: "██▏·", 1: "████", 7: "████", -1: "····"} {
		if got := Bar(ratio, 4, false); got != want {
			t.Errorf("Bar(%v) = %q, want %q", ratio, got, want)
		}
	}
	if got := Bar(math.NaN(), 4, true); got != "...." {
		t.Errorf("Bar(NaN) = %q", got)
	}
}

func TestGridKeepsColumnsWithWideAndForbiddenRunes(t *testing.T) {
	g := NewGrid(12, 2)
	if end := g.Put(0, 0, Data, "購a\x1b\n|"); end != 6 {
		t.Errorf("ends at %d, want 6", end)
	}
	g.Put(6, 0, Plain, "far too long a text")
	g.Put(0, 5, Plain, "below the grid")
	g.Right(12, 1, Bad, "end")
	want := "購a  |far t…\n         end\n"
	if g.String() != want {
		t.Errorf("got %q, want %q", g, want)
	}
	if Width("購a é") != 5 {
		t.Errorf("Width is %d", Width("購a é"))
	}
	if spans := g.Row(0); len(spans) != 2 || spans[0].Role != Data || spans[1].Text != "far t…" {
		t.Errorf("spans %+v", spans)
	}
}

// A logarithmic axis of counts spans decades that no one factor suits: "0.01 k"
// says less than "10".
func TestLogarithmicCountsHaveShortLabels(t *testing.T) {
	f := Figure{X: Axis{Label: "one request in", Log: true}, Y: Axis{Label: "response time", Unit: "s"}, Series: []Series{{X: []float64{2, 200000}, Y: []float64{1, 2}}}}
	drawn := string(f.SVG(860, 360))
	for _, want := range []string{">10<", ">1k<", ">100k<", ">one request in<"} {
		if !strings.Contains(drawn, want) {
			t.Errorf("no label %s", want)
		}
	}
}
