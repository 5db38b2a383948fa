package chart

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// palette holds the colours of all pictures, in light and in dark. They keep a
// contrast of at least 4.5 to 1 for words and 3 to 1 for marks against their
// ground, and differ in lightness too, for people who do not see their hue.
var palette = [][3]string{
	{"$ground", "#ffffff", "#0d1117"},
	{"$plain", "#1f2328", "#e6edf3"},
	{"$dim", "#59636e", "#9198a1"},
	{"$faint", "#d1d9e0", "#30363d"},
	{"$data", "#0b62c4", "#58a6ff"},
	{"$objective", "#b3261e", "#ff7b72"},
	{"$knee", "#8250df", "#d2a8ff"},
	{"$good", "#1a7f37", "#3fb950"},
	{"$warn", "#9a6700", "#d29922"},
}

// looks returns the style element for rules in which $names stand for colours:
// once in light and, where the reader prefers it, in dark. The colours are
// written out, because not every renderer knows variables.
func looks(fixed, colours string) string {
	in := func(theme int) string {
		var pairs []string
		for _, c := range palette {
			pairs = append(pairs, c[0], c[theme])
		}
		return strings.NewReplacer(pairs...).Replace(colours)
	}
	return "<style>\n" + fixed + "\n" + in(1) + "\n@media (prefers-color-scheme:dark){\n" + in(2) + "\n}\n</style>\n"
}

const (
	figureFixed = `text{font:12px system-ui,sans-serif}.title{font-size:14px;font-weight:600}
.axis,.grid,.line{fill:none}.line{stroke-width:2;stroke-linejoin:round}.rule{stroke-width:1.5;stroke-dasharray:6 4}
.band,.interval{opacity:.18}.thick{stroke-width:6;stroke-linecap:round}`
	figureColours = `.ground{fill:$ground}text{fill:$plain}text.dim{fill:$dim}text.objective{fill:$objective}text.knee{fill:$knee}
.axis{stroke:$dim}.grid{stroke:$faint}.heat,.band,.point.data{fill:$data}.interval,.point.knee{fill:$knee}.point.dim{fill:$dim}.point.good{fill:$good}.point.warn{fill:$warn}.point.bad{fill:$objective}
.line.plain,.line.strong{stroke:$plain}.line.dim{stroke:$dim}.line.data{stroke:$data}.line.knee{stroke:$knee}.line.good{stroke:$good}.line.warn{stroke:$warn}.line.bad,.line.objective,.rule{stroke:$objective}`
	screenFixed   = `text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}.strong{font-weight:600}.band{opacity:.45}`
	screenColours = `.ground{fill:$ground}.plain,.strong{fill:$plain}.dim{fill:$dim}.data,.band{fill:$data}.objective,.bad{fill:$objective}.knee{fill:$knee}.good{fill:$good}.warn{fill:$warn}`
)

// names of the roles as classes.
var roleClass = [roles]string{"plain", "dim", "strong", "data", "band", "objective", "knee", "good", "warn", "bad"}

// A canvas is an SVG picture under construction: a plot with margins.
type canvas struct {
	b                        bytes.Buffer
	w, h                     float64
	left, right, top, bottom float64
}

// newCanvas lays a plot out; the head of the picture is the caller's.
func newCanvas(w, h int, title string, sy scale) *canvas {
	c := &canvas{w: float64(w), h: float64(h), right: 16, top: 52, bottom: 44}
	widest := 0
	for _, t := range sy.ticks {
		widest = max(widest, Width(t.text))
	}
	c.left = 20 + 7*float64(widest)
	if most := (w - 24) / 9; Width(title) > most { // 9 pixels for each letter of a title
		g := NewGrid(most, 1)
		g.PutMax(0, 0, most, Plain, title)
		title = strings.TrimSpace(g.String())
	}
	c.text(12, 20, "start", "title", title)
	return c
}

// open writes the head of a picture: its size, its title and description for
// people who cannot see it, its looks and its ground.
func open(b *bytes.Buffer, w, h int, title, about, looks string) {
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="t d">`+"\n", w, h, w, h)
	fmt.Fprintf(b, "<title id=\"t\">%s</title>\n<desc id=\"d\">%s</desc>\n", escape(title), escape(about))
	b.WriteString(looks + `<rect class="ground" width="100%" height="100%"/>` + "\n")
}

func (c *canvas) x(v float64) float64 { return c.left + v*(c.w-c.left-c.right) }
func (c *canvas) y(v float64) float64 { return c.h - c.bottom - v*(c.h-c.top-c.bottom) }

// px writes a coordinate with at most one decimal.
func px(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return ' ' // not allowed in XML
		}
		return r
	}, s))
}

func (c *canvas) text(x, y float64, anchor, class, s string) {
	fmt.Fprintf(&c.b, `<text x="%s" y="%s" text-anchor="%s" class="%s">%s</text>`+"\n", px(x), px(y), anchor, class, escape(s))
}

func (c *canvas) axes(sx, sy scale, xCaption, yCaption string) {
	var grid strings.Builder
	for _, t := range sy.ticks {
		fmt.Fprintf(&grid, "M%s %sH%s", px(c.left), px(c.y(t.at)), px(c.w-c.right))
		c.text(c.left-6, c.y(t.at)+4, "end", "dim", t.text)
	}
	fmt.Fprintf(&c.b, `<path class="grid" d="%s"/>`+"\n", grid.String())
	var marks strings.Builder
	fmt.Fprintf(&marks, "M%s %sV%sH%s", px(c.left), px(c.top), px(c.y(0)), px(c.w-c.right))
	for _, t := range sx.ticks {
		fmt.Fprintf(&marks, "M%s %sv4", px(c.x(t.at)), px(c.y(0)))
		anchor := "middle"
		if t.at > 0.97 {
			anchor = "end"
		}
		c.text(c.x(t.at), c.y(0)+17, anchor, "dim", t.text)
	}
	fmt.Fprintf(&c.b, `<path class="axis" d="%s"/>`+"\n", marks.String())
	c.text(12, 36, "start", "dim", yCaption)
	c.text(c.w-c.right, c.h-8, "end", "dim", xCaption)
}

func (c *canvas) rule(r Rule, sx, sy scale) {
	if r.Vertical {
		if v := sx.at(r.Value); v >= 0 && v <= 1 {
			fmt.Fprintf(&c.b, `<path class="rule objective" d="M%s %sV%s"/>`+"\n", px(c.x(v)), px(c.top), px(c.y(0)))
			c.beside(v, c.top+12, "objective", r.Name)
		}
		return
	}
	if v := sy.at(r.Value); v >= 0 && v <= 1 {
		fmt.Fprintf(&c.b, `<path class="rule objective" d="M%s %sH%s"/>`+"\n", px(c.left), px(c.y(v)), px(c.w-c.right))
		c.text(c.left+6, c.y(v)-5, "start", "objective", r.Name)
	}
}

// beside writes a name next to a vertical line at v, on the side with room.
func (c *canvas) beside(v, y float64, class, name string) {
	if v < 0.5 {
		c.text(c.x(v)+6, y, "start", class, name)
	} else {
		c.text(c.x(v)-6, y, "end", class, name)
	}
}

// SVG draws the figure as a picture of w by h pixels that stands alone: no
// script, no font, no reference to anything else; legible in light and in dark;
// its words are text.
func (f Figure) SVG(w, h int) []byte {
	return picture(w, h, f.Title, f.About, f.paint(w, h))
}

// picture puts what was painted into a document of its own.
func picture(w, h int, title, about string, painted []byte) []byte {
	var b bytes.Buffer
	open(&b, w, h, title, about, looks(figureFixed, figureColours))
	b.Write(painted)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// Stack draws figures below each other in one picture, each w by h pixels.
func Stack(title, about string, figures []Figure, w, h int) []byte {
	var b bytes.Buffer
	for i, f := range figures {
		fmt.Fprintf(&b, `<svg y="%d" width="%d" height="%d" role="img" aria-label="%s">`+"\n", i*h, w, h, escape(f.About))
		b.Write(f.paint(w, h))
		b.WriteString("</svg>\n")
	}
	return picture(w, h*len(figures), title, about, b.Bytes())
}

// paint draws what is inside a picture of w by h pixels.
func (f Figure) paint(w, h int) []byte {
	sx, sy := f.scales(max(w/90, 2), max(h/45, 2))
	c := newCanvas(w, h, f.Title, sy)
	for _, b := range f.Bands {
		var d strings.Builder
		n := min(len(b.X), len(b.Low), len(b.High))
		for i := range n {
			fmt.Fprintf(&d, "%s%s %s", letter(i), px(c.x(sx.at(b.X[i]))), px(c.y(sy.at(b.High[i]))))
		}
		for i := n - 1; i >= 0; i-- {
			fmt.Fprintf(&d, "L%s %s", px(c.x(sx.at(b.X[i]))), px(c.y(sy.at(b.Low[i]))))
		}
		if n > 1 {
			fmt.Fprintf(&c.b, `<path class="band" d="%sZ"/>`+"\n", d.String())
		}
	}
	for _, m := range f.Marks {
		lo, hi := math.Max(sx.at(m.Low), 0), math.Min(sx.at(m.High), 1)
		if lo < hi {
			fmt.Fprintf(&c.b, `<rect class="interval" x="%s" y="%s" width="%s" height="%s"/>`+"\n",
				px(c.x(lo)), px(c.top), px(c.x(hi)-c.x(lo)), px(c.y(0)-c.top))
		}
	}
	c.axes(sx, sy, sx.caption(f.X), sy.caption(f.Y))
	for _, r := range f.Rules {
		c.rule(r, sx, sy)
	}
	for _, s := range f.Series {
		c.series(s, sx, sy)
	}
	for i, m := range f.Marks {
		v := sx.at(m.X)
		if v < 0 || v > 1 || math.IsNaN(v) {
			continue
		}
		fmt.Fprintf(&c.b, `<path class="line knee" d="M%s %sV%s"/>`+"\n", px(c.x(v)), px(c.top), px(c.y(0)))
		c.beside(v, c.y(0)-8-16*float64(i), "knee", m.Name)
	}
	c.legend(f)
	return c.b.Bytes()
}

// series draws one series; pieces that touch share a path.
func (c *canvas) series(s Series, sx, sy scale) {
	var d strings.Builder
	endX, endY := math.NaN(), math.NaN()
	s.segments(sx, sy, func(x0, y0, x1, y1 float64) {
		if s.Style == Scatter {
			if x0 >= 0 && x0 <= 1 && y0 >= 0 && y0 <= 1 {
				fmt.Fprintf(&c.b, `<circle class="point %s" cx="%s" cy="%s" r="3"/>`+"\n", roleClass[s.role()], px(c.x(x0)), px(c.y(y0)))
			}
			return
		}
		x0, y0, x1, y1, ok := clip(x0, y0, x1, y1)
		if !ok {
			return
		}
		if x0 != endX || y0 != endY {
			fmt.Fprintf(&d, "M%s %s", px(c.x(x0)), px(c.y(y0)))
		}
		if x0 != x1 || y0 != y1 {
			fmt.Fprintf(&d, "L%s %s", px(c.x(x1)), px(c.y(y1)))
		}
		endX, endY = x1, y1
	})
	if d.Len() > 0 {
		fmt.Fprintf(&c.b, `<path class="line %s" d="%s"/>`+"\n", roleClass[s.role()], d.String())
	}
}

// legend names series and bands in the upper right, when there is more than one.
func (c *canvas) legend(f Figure) {
	var entries []string
	x := c.w - c.right
	add := func(name, shape string) {
		x -= 7*float64(Width(name)) + 8
		entries = append(entries, fmt.Sprintf(`<text x="%s" y="36" class="dim">%s</text>`, px(x), escape(name)), fmt.Sprintf(shape, px(x-20), px(x-6)))
		x -= 34
	}
	if len(f.Series)+len(f.Bands) < 2 {
		return
	}
	for i, b := range f.Bands {
		if b.Name != "" { // a band lies on those before it, which makes it as much darker
			add(b.Name, strings.Repeat(`<path class="band" d="M%[1]s 27H%[2]sv9H%[1]sZ"/>`, i+1))
		}
	}
	for _, s := range f.Series {
		switch {
		case s.Name == "":
		case s.Style == Scatter:
			add(s.Name, `<path class="line thick `+roleClass[s.role()]+`" d="M%s 32m7 0h.1M%[2]s 32"/>`)
		default:
			add(s.Name, `<path class="line `+roleClass[s.role()]+`" d="M%s 32H%s"/>`)
		}
	}
	if len(entries) > 0 {
		c.b.WriteString(strings.Join(entries, "\n") + "\n")
	}
}

func letter(i int) string {
	if i == 0 {
		return "M"
	}
	return "L"
}
