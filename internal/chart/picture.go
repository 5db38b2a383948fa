package chart

import (
	"bytes"
	"fmt"
	"strings"
)

// Size of a cell in a picture of a grid, in pixels.
const (
	cellW = 8.0
	cellH = 17.0
	edge  = 14.0 // ground left free around the cells
	gap   = 3.0  // left free above a block, so that bars of neighbouring rows do not merge
)

// SVG draws the grid as a picture of a terminal. Words are text, stretched to
// the columns they take; braille, blocks and rules are shapes, so that they
// meet exactly whatever font the reader has. title and about are read to people
// who cannot see it.
func (g *Grid) SVG(title, about string) []byte {
	var b bytes.Buffer
	w, h := int(float64(g.W)*cellW+2*edge), int(float64(g.H)*cellH+2*edge)
	open(&b, w, h, title, about, looks(screenFixed, screenColours))

	var shapes [roles]strings.Builder
	for y := range g.H {
		x := 0
		for _, s := range g.Row(y) {
			word, from := strings.Builder{}, x
			flush := func() {
				if text := strings.TrimRight(word.String(), " "); text != "" {
					fmt.Fprintf(&b, `<text class="%s" x="%s" y="%s" textLength="%s" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n", roleClass[s.Role],
						px(edge+float64(from)*cellW), px(edge+float64(y)*cellH+13), px(float64(Width(text))*cellW), escape(text))
				}
				word.Reset()
			}
			blanks := 0
			for _, r := range s.Text {
				shape := glyphShape(r, edge+float64(x)*cellW, edge+float64(y)*cellH)
				n := runeWidth(r)
				x += n
				switch {
				case r == ' ':
					blanks++
					continue
				case shape != "":
					flush()
					shapes[s.Role].WriteString(shape)
				default:
					if word.Len() == 0 || blanks > 1 {
						flush()
						from = x - n
					} else {
						word.WriteString(strings.Repeat(" ", blanks))
					}
					word.WriteRune(r)
				}
				blanks = 0
			}
			flush()
		}
	}
	for role := range shapes {
		if shapes[role].Len() > 0 {
			fmt.Fprintf(&b, `<path class="%s" d="%s"/>`+"\n", roleClass[role], shapes[role].String())
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// rect is a path of a filled rectangle.
func rect(x, y, w, h float64) string {
	return "M" + px(x) + " " + px(y) + "h" + px(w) + "v" + px(h) + "h-" + px(w) + "z"
}

// glyphShape returns the path of a drawing character in the cell at x, y; empty
// for characters that are words.
func glyphShape(r rune, x, y float64) string {
	const thin = 1.2
	midX, midY := x+cellW/2-thin/2, y+cellH/2-thin/2
	left, right := rect(x, midY, cellW/2+thin/2, thin), rect(midX, midY, cellW/2+thin/2, thin)
	up, down := rect(midX, y, thin, cellH/2+thin/2), rect(midX, midY, thin, cellH/2+thin/2)
	switch {
	case r > brailleBase && r <= brailleBase+0xff:
		var b strings.Builder
		for dx := range 2 {
			for dy := range 4 {
				if r&brailleDots[dx][dy] != 0 {
					b.WriteString(rect(x+float64(dx)*cellW/2+0.8, y+float64(dy)*cellH/4+0.9, 2.4, 2.4))
				}
			}
		}
		return b.String()
	case r >= '▁' && r <= '█':
		part := (cellH - gap) * float64(r-'▁'+1) / 8
		return rect(x, y+cellH-part, cellW, part)
	case r >= '▉' && r <= '▏':
		return rect(x, y+gap, cellW*float64('▏'-r+1)/8, cellH-gap)
	case r == '░' || r == '▒' || r == '▓':
		return rect(x, y, cellW, cellH)
	}
	switch r {
	case '─':
		return rect(x, midY, cellW, thin)
	case '━':
		return rect(x, midY-0.9, cellW, 3)
	case '╌':
		return rect(x+0.8, midY, cellW/2-1.6, thin) + rect(x+cellW/2+0.8, midY, cellW/2-1.6, thin)
	case '│':
		return rect(midX, y, thin, cellH)
	case '╎':
		return rect(midX, y+1.5, thin, 5.5) + rect(midX, y+10, thin, 5.5)
	case '└':
		return right + up
	case '┤':
		return left + up + down
	case '┬':
		return left + right + down
	case '▲':
		return "M" + px(x+cellW/2) + " " + px(y+3) + "l5 9h-10z"
	case '·':
		return rect(midX-0.4, midY-0.4, 2, 2)
	}
	return ""
}
