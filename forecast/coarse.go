package forecast

// coarse forecasts the medians of buckets of several steps with the pool of an
// hourly series and spreads them over the steps: at a step of minutes a day has
// hundreds of steps, and no autoregression on single steps sees that far.
type coarse struct {
	label  string
	y      []float64
	inner  *engine
	factor int // steps of a bucket
	offset int // steps before the first bucket
	period int // steps of a day
	shaped bool
	shapes [][]float64 // by cut: what a step differs from the bucket line, by phase
}

func (e *engine) addCoarse(factor int) {
	n := len(e.y)
	offset := n % factor
	buckets := make([]float64, n/factor)
	for i := range buckets {
		buckets[i] = median(e.y[offset+i*factor : offset+(i+1)*factor])
	}
	long := 0
	if e.long > 0 {
		long = e.long / factor
	}
	inner := &engine{y: buckets, short: e.short / factor, long: long, horizon: (e.horizon + factor - 1) / factor, test: max(1, e.test/factor), older: e.older, tests: e.tests}
	for _, c := range e.cuts {
		inner.cuts = append(inner.cuts, (c-offset)/factor)
	}
	if inner.cuts[inner.older] < 3*inner.short {
		return
	}
	inner.run()
	if len(inner.chosen) == 0 {
		return
	}
	for _, shaped := range []bool{false, true} {
		label := "coarse"
		if shaped {
			label = "coarse-shaped"
		}
		e.needs = append(e.needs, 3*e.short+factor)
		e.models = append(e.models, &coarse{label, e.y, inner, factor, offset, e.short, shaped, make([][]float64, len(e.cuts))})
	}
}

func (c *coarse) name() string { return c.label }

func (c *coarse) path(cut, origin int, out []float64) {
	at := (origin - c.offset) / c.factor
	steps := (len(out) + c.factor - 1) / c.factor
	line := make([]float64, steps+1)
	c.inner.combine(cut, at, line[1:])
	line[0] = c.inner.y[at-1]
	spread(line, c.factor, out)
	if !c.shaped {
		return
	}
	if c.shapes[cut] == nil {
		c.shapes[cut] = c.shape(c.inner.cuts[cut])
	}
	for h := range out {
		out[h] += c.shapes[cut][(origin+h)%c.period]
	}
}

// spread writes the straight lines between the middles of buckets into out;
// line[0] is the bucket before out begins.
func spread(line []float64, factor int, out []float64) {
	for h := range out {
		at := (float64(h)+0.5)/float64(factor) + 0.5 // position between middles
		i := int(at)
		w := at - float64(i)
		if i+1 < len(line) {
			out[h] = line[i]*(1-w) + line[i+1]*w
		} else {
			out[h] = line[len(line)-1]
		}
	}
}

// shape returns, by phase of the day, the median gap between a step and the line
// of its bucket over up to 14 days before bucket upto.
func (c *coarse) shape(upto int) []float64 {
	first := max(1, upto-14*c.inner.short)
	fine := make([]float64, (upto-first)*c.factor)
	spread(c.inner.y[first-1:upto], c.factor, fine)
	gaps := make([][]float64, c.period)
	start := c.offset + first*c.factor
	for i, f := range fine {
		p := (start + i) % c.period
		gaps[p] = append(gaps[p], c.y[start+i]-f)
	}
	out := make([]float64, c.period)
	for p, g := range gaps {
		if len(g) > 2 {
			out[p] = median(g)
		}
	}
	return out
}
