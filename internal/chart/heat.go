package chart

import (
	"fmt"
	"math"
	"sort"
	"strings"
)

// A Heat shows how often values fell into buckets over time, such as response
// times: a column for each window, a row for each bucket, darker for more.
type Heat struct {
	Title, About string
	X            Axis      // over Times
	Y            Axis      // over Bounds, drawn logarithmically
	Times        []float64 // start of each column, ascending
	Bounds       []float64 // upper bound of each bucket, ascending, > 0; the first begins at half its bound
	Counts       [][]float64
	Rules        []Rule // horizontal ones
}

// shades are the levels of a heat in text, blank first.
const (
	shades      = " ░▒▓█"
	shadesASCII = " .:+#"
)

// levels returns the darkness 0..1 of each cell: the logarithm of the count
// over that of the largest, because response times are told apart by their
// tails, where counts are small.
func (h Heat) levels() [][]float64 {
	largest := 0.0
	for _, column := range h.Counts {
		for _, n := range column {
			largest = math.Max(largest, n)
		}
	}
	out := make([][]float64, len(h.Counts))
	for i, column := range h.Counts {
		out[i] = make([]float64, len(h.Bounds))
		for j := range min(len(column), len(h.Bounds)) {
			if n := column[j]; n > 0 {
				out[i][j] = math.Log1p(n) / math.Log1p(largest)
			}
		}
	}
	return out
}

func (h Heat) scales(nx, ny int) (x, y scale) {
	rx, ry := span{math.Inf(1), math.Inf(-1)}, span{math.Inf(1), math.Inf(-1)}
	rx.add(false, h.Times...)
	if n := len(h.Times); n > 1 {
		rx.add(false, 2*h.Times[n-1]-h.Times[n-2])
	}
	if len(h.Bounds) > 0 {
		ry.add(true, h.Bounds[0]/2)
	}
	ry.add(true, h.Bounds...)
	for _, r := range h.Rules {
		ry.add(true, r.Value)
	}
	xa, ya := h.X, h.Y
	ya.Log = true
	if xa.Max <= xa.Min && rx.max > rx.min {
		xa.Min, xa.Max = rx.min, rx.max
	}
	return xa.scale(rx, nx), ya.scale(ry, ny)
}

// Draw draws the heat into the cells of g as Figure.Draw does.
func (h Heat) Draw(g *Grid, x, y, w, hh int, ascii bool) {
	frameOnly := Figure{X: h.X, Y: h.Y, Rules: h.Rules}
	sx, sy := h.scales(max(w/10, 2), max((hh-3)/2, 2))
	frameOnly.X.Min, frameOnly.X.Max = sx.min, sx.max
	frameOnly.Y.Min, frameOnly.Y.Max, frameOnly.Y.Log = sy.min, sy.max, true
	frameOnly.drawAround(g, x, y, w, hh, ascii, func(sx, sy scale, at frame) { h.drawCells(g, sx, sy, at, ascii) })
}

func (h Heat) drawCells(g *Grid, sx, sy scale, at frame, ascii bool) {
	set := []rune(shades)
	if ascii {
		set = []rune(shadesASCII)
	}
	plotW, plotH := at.plotW, at.bottom-at.top+1
	levels := h.levels()
	// The buckets that a row of cells covers; a cell shows the darkest of them.
	first, last := make([]int, plotH), make([]int, plotH)
	for r := range plotH {
		lo := sy.value(1 - float64(r+1)/float64(plotH))
		hi := sy.value(1 - float64(r)/float64(plotH))
		first[r] = sort.Search(len(h.Bounds), func(j int) bool { return h.Bounds[j] > lo })
		last[r] = sort.Search(len(h.Bounds), func(j int) bool { return h.lower(j) >= hi })
	}
	for c := range plotW {
		i := h.column(sx.min + (float64(c)+0.5)/float64(plotW)*(sx.max-sx.min))
		if i < 0 {
			continue
		}
		for r := range plotH {
			dark := 0.0
			for _, level := range levels[i][min(first[r], last[r]):last[r]] {
				dark = math.Max(dark, level)
			}
			if dark > 0 {
				n := 1 + int(dark*float64(len(set)-1)-1e-9)
				g.set(at.plotX+c, at.top+r, set[min(n, len(set)-1)], Data)
			}
		}
	}
}

// lower is the lower bound of bucket j.
func (h Heat) lower(j int) float64 {
	if j == 0 {
		return h.Bounds[0] / 2
	}
	return h.Bounds[j-1]
}

// column returns the window that holds time t, -1 for none.
func (h Heat) column(t float64) int {
	n := min(len(h.Times), len(h.Counts))
	for i := n - 1; i >= 0; i-- {
		if t >= h.Times[i] {
			if i == n-1 && n > 1 && t > 2*h.Times[n-1]-h.Times[n-2] {
				return -1
			}
			return i
		}
	}
	return -1
}

// value is the inverse of at.
func (s scale) value(v float64) float64 {
	if s.log {
		return math.Exp(math.Log(s.min) + v*(math.Log(s.max)-math.Log(s.min)))
	}
	return s.min + v*(s.max-s.min)
}

// SVG draws the heat as a picture of w by hh pixels, as Figure.SVG does.
func (h Heat) SVG(w, hh int) []byte {
	sx, sy := h.scales(max(w/90, 2), max(hh/45, 2))
	c := newCanvas(w, hh, h.Title, sy)
	levels := h.levels()
	n := min(len(h.Times), len(h.Counts))
	for i := range n {
		end := sx.max
		if i+1 < n {
			end = h.Times[i+1]
		} else if n > 1 {
			end = math.Min(end, 2*h.Times[n-1]-h.Times[n-2])
		}
		for j := range h.Bounds {
			if levels[i][j] == 0 {
				continue
			}
			x0, x1 := c.x(sx.at(h.Times[i])), c.x(sx.at(end))
			y0, y1 := c.y(sy.at(h.Bounds[j])), c.y(sy.at(h.lower(j)))
			fmt.Fprintf(&c.b, `<rect class="heat" x="%s" y="%s" width="%s" height="%s" opacity="%s"/>`+"\n",
				px(x0), px(y0), px(x1-x0), px(y1-y0), strings.TrimRight(fmt.Sprintf("%.2f", 0.1+0.9*levels[i][j]), "0"))
		}
	}
	c.axes(sx, sy, sx.caption(h.X), sy.caption(h.Y))
	for _, r := range h.Rules {
		c.rule(r, sx, sy)
	}
	return picture(w, hh, h.Title, h.About, c.b.Bytes())
}
