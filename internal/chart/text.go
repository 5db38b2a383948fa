package chart

import (
	"math"
	"strings"
)

// brailleBase is the empty braille pattern; a set bit of the low byte is a dot.
const brailleBase = 0x2800

// brailleDots holds the bit of the dot in column x, row y of a cell.
var brailleDots = [2][4]rune{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}

// A raster is the plot area of a figure in text: dots over cells.
type raster struct {
	w, h   int // cells
	dx, dy int // dots per cell
	bits   []rune
	role   []Role
}

func newRaster(w, h int, ascii bool) *raster {
	r := &raster{w: w, h: h, dx: 2, dy: 4, bits: make([]rune, w*h), role: make([]Role, w*h)}
	if ascii {
		r.dx, r.dy = 1, 1
	}
	return r
}

// dot sets the dot at column x from the left and row y from the bottom.
func (r *raster) dot(x, y int, role Role) {
	y = r.h*r.dy - 1 - y
	if x < 0 || y < 0 || x >= r.w*r.dx || y >= r.h*r.dy {
		return
	}
	i := y/r.dy*r.w + x/r.dx
	if r.dx == 1 {
		r.bits[i] = 1
	} else {
		r.bits[i] |= brailleDots[x%2][y%4]
	}
	r.role[i] = role
}

// place returns the dot of a point in 0..1 x 0..1.
func (r *raster) place(x, y float64) (int, int) {
	return int(math.Round(x * float64(r.w*r.dx-1))), int(math.Round(y * float64(r.h*r.dy-1)))
}

func (r *raster) line(x0, y0, x1, y1 float64, role Role) {
	x0, y0, x1, y1, ok := clip(x0, y0, x1, y1)
	if !ok {
		return
	}
	ax, ay := r.place(x0, y0)
	bx, by := r.place(x1, y1)
	n := max(abs(bx-ax), abs(by-ay), 1)
	for i := range n + 1 {
		t := float64(i) / float64(n)
		r.dot(ax+int(math.Round(t*float64(bx-ax))), ay+int(math.Round(t*float64(by-ay))), role)
	}
}

func abs(n int) int { return max(n, -n) }

// clip cuts a line to the unit square (Liang and Barsky's parametric form);
// ok is false when nothing of it lies inside or an end is NaN.
func clip(x0, y0, x1, y1 float64) (cx0, cy0, cx1, cy1 float64, ok bool) {
	t0, t1 := 0.0, 1.0
	dx, dy := x1-x0, y1-y0
	for _, e := range [4][2]float64{{-dx, x0}, {dx, 1 - x0}, {-dy, y0}, {dy, 1 - y0}} {
		p, q := e[0], e[1]
		switch {
		case math.IsNaN(p) || math.IsNaN(q):
			return 0, 0, 0, 0, false
		case p == 0 && q < 0:
			return 0, 0, 0, 0, false
		case p < 0:
			t0 = math.Max(t0, q/p)
		case p > 0:
			t1 = math.Min(t1, q/p)
		}
	}
	if t0 > t1 {
		return 0, 0, 0, 0, false
	}
	return x0 + t0*dx, y0 + t0*dy, x0 + t1*dx, y0 + t1*dy, true
}

// segments calls f for each straight piece of a series in 0..1 coordinates; a
// single point is a piece of no length.
func (s Series) segments(x, y scale, f func(x0, y0, x1, y1 float64)) {
	px, py := math.NaN(), math.NaN()
	for i := range min(len(s.X), len(s.Y)) {
		cx, cy := x.at(s.X[i]), y.at(s.Y[i])
		if math.IsNaN(cx) || math.IsNaN(cy) {
			px = math.NaN()
			continue
		}
		switch {
		case s.Style == Scatter || math.IsNaN(px):
			f(cx, cy, cx, cy)
		case s.Style == Step:
			f(px, py, cx, py)
			f(cx, py, cx, cy)
		default:
			f(px, py, cx, cy)
		}
		px, py = cx, cy
	}
}

func (s Series) role() Role {
	if s.Role == Plain {
		return Data
	}
	return s.Role
}

// Draw draws the figure into the cells of g from column x and row y, w columns
// wide and h rows high: a caption, the plot, its axis and the tick labels. The
// title is left to the caller. With ascii only characters of ASCII are used.
func (f Figure) Draw(g *Grid, x, y, w, h int, ascii bool) {
	f.drawAround(g, x, y, w, h, ascii, func(sx, sy scale, at frame) { f.drawSeries(g, sx, sy, at, ascii) })
}

// drawAround draws a figure as Draw does, with data for its series: above bands
// and rules, below the names, which must stay readable.
func (f Figure) drawAround(g *Grid, x, y, w, h int, ascii bool, data func(sx, sy scale, at frame)) {
	const least = 6
	plotH := h - 3
	if h <= 0 {
		return
	}
	if plotH < 2 || w < 2*least {
		g.PutMax(x, y, w, Dim, "no room for the figure")
		return
	}
	sx, sy := f.scales(max(w/10, 2), max(plotH/2, 2))
	gutter := f.Y.Gutter
	for _, t := range sy.ticks {
		gutter = max(gutter, Width(t.text))
	}
	plotX, plotW := x+gutter+1, w-gutter-1
	if plotW < least {
		g.PutMax(x, y, w, Dim, "no room for the figure")
		return
	}
	across := sx.caption(f.X)
	if end := g.PutMax(x, y, w, Dim, sy.caption(f.Y)); end+2+Width(across) <= x+w {
		g.Right(x+w, y, Dim, across)
	}
	top, bottom := y+1, y+plotH
	row := func(v float64) int { return bottom - int(math.Round(v*float64(plotH-1))) }
	col := func(v float64) int { return plotX + int(math.Round(v*float64(plotW-1))) }
	at := frame{x, plotX, plotW, top, bottom}
	f.drawAxes(g, sx, sy, at, row, col, ascii)
	f.drawBelow(g, sx, sy, at, row, col, ascii)
	data(sx, sy, at)
	f.drawNames(g, sx, sy, at, row, col)
}

// drawSeries draws the lines and points of the series.
func (f Figure) drawSeries(g *Grid, sx, sy scale, at frame, ascii bool) {
	r := newRaster(at.plotW, at.bottom-at.top+1, ascii)
	for _, s := range f.Series {
		s.segments(sx, sy, func(x0, y0, x1, y1 float64) {
			r.line(x0, y0, x1, y1, s.role())
			if s.Style == Scatter && !ascii && x0 >= 0 && x0 <= 1 && y0 >= 0 && y0 <= 1 {
				a, b := r.place(x0, y0)
				r.dot(a+1, b, s.role())
				r.dot(a, b+1, s.role())
				r.dot(a+1, b+1, s.role())
			}
		})
	}
	for i, bits := range r.bits {
		switch {
		case bits == 0:
		case ascii:
			g.set(at.plotX+i%r.w, at.top+i/r.w, '*', r.role[i])
		default:
			g.set(at.plotX+i%r.w, at.top+i/r.w, brailleBase+bits, r.role[i])
		}
	}
}

// A frame is where a figure's parts lie in a grid: its left edge, and the plot.
type frame struct{ x, plotX, plotW, top, bottom int }

func (f Figure) drawAxes(g *Grid, sx, sy scale, at frame, row, col func(float64) int, ascii bool) {
	vertical, corner, horizontal, down, left := '│', '└', '─', '┬', '┤'
	if ascii {
		vertical, corner, horizontal, down, left = '|', '+', '-', '+', '+'
	}
	for y := at.top; y <= at.bottom; y++ {
		g.set(at.plotX-1, y, vertical, Dim)
	}
	for _, t := range sy.ticks {
		g.Right(at.plotX-1, row(t.at), Dim, t.text)
		g.set(at.plotX-1, row(t.at), left, Dim)
	}
	g.set(at.plotX-1, at.bottom+1, corner, Dim)
	for x := at.plotX; x < at.plotX+at.plotW; x++ {
		g.set(x, at.bottom+1, horizontal, Dim)
	}
	free := at.x // the first column of the label row that is not taken
	for _, t := range sx.ticks {
		c := col(t.at)
		g.set(c, at.bottom+1, down, Dim)
		start := min(c-Width(t.text)/2, at.plotX+at.plotW-Width(t.text))
		if start >= free {
			free = g.Put(start, at.bottom+2, Dim, t.text) + 1
		}
	}
}

// drawBelow draws what lies under the data: bands, rules and marks.
func (f Figure) drawBelow(g *Grid, sx, sy scale, at frame, row, col func(float64) int, ascii bool) {
	shade, across, up, spread, point := '░', '╌', '╎', '━', '▲'
	if ascii {
		shade, across, up, spread, point = ':', '-', '|', '=', '^'
	}
	inside := func(v float64) bool { return v >= 0 && v <= 1 }
	for _, b := range f.Bands {
		for c := range at.plotW {
			v := float64(c) / float64(max(at.plotW-1, 1))
			lo, hi, ok := b.at(v, sx, sy)
			if !ok {
				continue
			}
			for y := row(math.Min(hi, 1)); y <= row(math.Max(lo, 0)); y++ {
				g.set(at.plotX+c, y, shade, Band)
			}
		}
	}
	for _, m := range f.Marks {
		lo, hi, mid := sx.at(m.Low), sx.at(m.High), sx.at(m.X)
		if inside(mid) {
			for y := at.top; y <= at.bottom; y++ {
				g.set(col(mid), y, up, Knee)
			}
		}
		if lo <= hi {
			for c := col(math.Max(lo, 0)); c <= col(math.Min(hi, 1)); c++ {
				g.set(c, at.bottom+1, spread, Knee)
			}
		}
		if inside(mid) {
			g.set(col(mid), at.bottom+1, point, Knee)
		}
	}
	for _, r := range f.Rules {
		if r.Vertical {
			if v := sx.at(r.Value); inside(v) {
				for y := at.top; y <= at.bottom; y++ {
					g.set(col(v), y, up, Objective)
				}
			}
			continue
		}
		if v := sy.at(r.Value); inside(v) {
			for c := range at.plotW {
				g.set(at.plotX+c, row(v), across, Objective)
			}
		}
	}
}

// drawNames writes the names of rules and marks where they hide least.
func (f Figure) drawNames(g *Grid, sx, sy scale, at frame, row, col func(float64) int) {
	for _, r := range f.Rules {
		switch v := 0.0; {
		case r.Vertical:
			if v = sx.at(r.Value); v >= 0 && v <= 1 {
				at.name(g, col(v), at.top, Objective, r.Name)
			}
		default:
			if v = sy.at(r.Value); v >= 0 && v <= 1 {
				g.PutMax(at.plotX+1, row(v), at.plotW-1, Objective, " "+r.Name+" ")
			}
		}
	}
	for i, m := range f.Marks {
		if v := sx.at(m.X); v >= 0 && v <= 1 {
			at.name(g, col(v), min(at.bottom-i, at.bottom), Knee, m.Name)
		}
	}
}

// name writes a name beside column c, on the side that has more room.
func (at frame) name(g *Grid, c, y int, role Role, name string) {
	if right := at.plotX + at.plotW - c - 2; right >= Width(name) || right > c-at.plotX {
		g.PutMax(c+2, y, right, role, name)
		return
	}
	room := c - at.plotX - 1
	g.PutMax(c-1-min(Width(name), room), y, room, role, name)
}

// at returns the band at v in 0..1 of the X axis, interpolated between points.
func (b Interval) at(v float64, sx, sy scale) (lo, hi float64, ok bool) {
	for i := 1; i < min(len(b.X), len(b.Low), len(b.High)); i++ {
		x0, x1 := sx.at(b.X[i-1]), sx.at(b.X[i])
		if v < x0 || v > x1 || x0 == x1 {
			continue
		}
		t := (v - x0) / (x1 - x0)
		mix := func(a, b float64) float64 { return (1-t)*sy.at(a) + t*sy.at(b) }
		lo, hi = mix(b.Low[i-1], b.Low[i]), mix(b.High[i-1], b.High[i])
		return lo, hi, lo <= hi
	}
	return 0, 0, false
}

// Sparkline draws values as a row of width bars that grow from zero to highest,
// the latest on the right. With more values than columns each column shows the
// largest of its values. A NaN is a blank; highest <= 0 means the largest value.
func Sparkline(values []float64, width int, highest float64, ascii bool) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	if ascii {
		levels = []rune("_.-~=+*#")
	}
	if highest <= 0 {
		for _, v := range values {
			if v > highest && !math.IsInf(v, 0) {
				highest = v
			}
		}
	}
	per := max((len(values)+width-1)/max(width, 1), 1)
	columns := (len(values) + per - 1) / per
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", max(width-columns, 0)))
	for c := range min(columns, width) {
		// Columns are filled from the right, so that one value more moves
		// nothing but the first.
		end := len(values) - (columns-1-c)*per
		v := math.NaN()
		for _, o := range values[max(end-per, 0):end] {
			if math.IsNaN(v) || o > v {
				v = o
			}
		}
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case highest <= 0:
			b.WriteRune(levels[0])
		default:
			i := int(v / highest * float64(len(levels)))
			b.WriteRune(levels[max(min(i, len(levels)-1), 0)])
		}
	}
	return b.String()
}

// Bar draws ratio (0..1, clamped) as a bar of width columns; what is left is
// dotted, so that its whole length is seen without colour.
func Bar(ratio float64, width int, ascii bool) string {
	if !(ratio > 0) {
		ratio = 0
	}
	ratio = math.Min(ratio, 1)
	if ascii {
		n := int(math.Round(ratio * float64(width)))
		return strings.Repeat("#", n) + strings.Repeat(".", max(width-n, 0))
	}
	eighths := int(math.Round(ratio * float64(width) * 8))
	s := strings.Repeat("█", eighths/8)
	if eighths%8 > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[eighths%8-1])
	}
	return s + strings.Repeat("·", max(width-Width(s), 0))
}
