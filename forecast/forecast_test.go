package forecast

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// safe holds what every forecast promises: finite, ordered, never negative for a
// non-negative history, at most ten times its maximum.
func safe(t *testing.T, f *Forecast) {
	t.Helper()
	check := func(what string, h int, v float64) {
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			t.Fatalf("%s of step %d is %v", what, h, v)
		case f.HistoryMin >= 0 && v < 0:
			t.Fatalf("%s of step %d is %v for a history that is nowhere negative", what, h, v)
		case f.HistoryMin >= 0 && v > 10*f.HistoryMax*(1+1e-12):
			t.Fatalf("%s of step %d is %v, more than ten times %v", what, h, v, f.HistoryMax)
		}
	}
	for h, v := range f.Mean {
		check("mean", h, v)
		for _, b := range f.Bands {
			check("low", h, b.Low[h])
			check("high", h, b.High[h])
			if b.Low[h] > b.High[h] {
				t.Fatalf("step %d: low %v above high %v", h, b.Low[h], b.High[h])
			}
		}
		if f.PeakQ95 != nil {
			check("peak", h, f.PeakQ95[h])
		}
	}
}

func hourly(n int, value func(i int) float64) Series {
	s := Series{Name: "a", Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Step: time.Hour, Values: make([]float64, n)}
	for i := range s.Values {
		s.Values[i] = value(i)
	}
	return s
}

func TestForecastFollowsDayAndWeek(t *testing.T) {
	value := func(i int) float64 {
		day := 100 + 50*math.Sin(float64(i%24)/24*2*math.Pi)
		if i/24%7 >= 5 {
			day *= 0.6
		}
		return day
	}
	f, err := New(hourly(24*42, value), Options{Horizon: 168})
	if err != nil {
		t.Fatal(err)
	}
	for h, v := range f.Mean {
		if want := value(24*42 + h); math.Abs(v-want) > 0.02*want {
			t.Fatalf("step %d is %v, want %v", h+1, v, want)
		}
	}
	safe(t, f)
}

// Gaussian noise of known size around a known day: the intervals must hold about
// their share, and the day's peak quantile must hold the peaks.
func TestIntervalsHoldTheirShare(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	inside, peaks, days, points := 0, 0, 0, 0
	for range 25 {
		all := hourly(24*44, func(i int) float64 {
			return 100 + 50*math.Sin(float64(i%24)/24*2*math.Pi) + 8*rng.NormFloat64()
		})
		s := all
		s.Values = all.Values[:24*42]
		f, err := New(s, Options{Horizon: 48})
		if err != nil {
			t.Fatal(err)
		}
		for h := range f.Mean {
			y := all.Values[24*42+h]
			points++
			if f.Bands[1].Low[h] <= y && y <= f.Bands[1].High[h] {
				inside++
			}
		}
		for d := range 2 {
			days++
			if slices.Max(all.Values[24*(42+d):24*(43+d)]) <= f.PeakQ95[24*d] {
				peaks++
			}
		}
	}
	if c := float64(inside) / float64(points); c < 0.92 || c > 1 {
		t.Errorf("the 95 %% interval holds %.3f", c)
	}
	if c := float64(peaks) / float64(days); c < 0.85 {
		t.Errorf("the 95 %% day peak holds %.3f", c)
	}
}

func TestForecastOfOddHistoriesIsSafe(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for name, value := range map[string]func(i int) float64{
		"constant":  func(int) float64 { return 7 },
		"zero":      func(int) float64 { return 0 },
		"spike":     func(i int) float64 { return map[bool]float64{true: 1e9, false: 1}[i == 300] },
		"explosive": func(i int) float64 { return math.Exp(float64(i) / 10) },
		"tiny":      func(i int) float64 { return 1e-300 * float64(1+i%24) },
		"huge":      func(i int) float64 { return 1e300 * (1 + float64(i%24)/24) },
		"shift":     func(i int) float64 { return map[bool]float64{true: 1000, false: 1}[i > 350] },
		"negative":  func(i int) float64 { return -100 + rng.NormFloat64() },
		"sparse":    func(i int) float64 { return map[bool]float64{true: 5, false: 0}[i%17 == 0] },
		"missing":   func(i int) float64 { return map[bool]float64{true: math.NaN(), false: float64(i % 24)}[i%3 == 0] },
	} {
		for _, n := range []int{3, 4, 11, 12, 13, 25, 50, 170, 337, 400} {
			for _, horizon := range []int{1, 24, 500} {
				f, err := New(hourly(n, value), Options{Horizon: horizon})
				if errors.Is(err, ErrTooShort) && name == "missing" {
					continue
				}
				if err != nil {
					t.Fatalf("%s of %d: %v", name, n, err)
				}
				safe(t, f)
			}
		}
	}
}

func TestForecastRefuses(t *testing.T) {
	for _, n := range []int{0, 1, 2} {
		if _, err := New(hourly(n, func(int) float64 { return 1 }), Options{}); !errors.Is(err, ErrTooShort) {
			t.Errorf("%d values: %v", n, err)
		}
	}
	for _, h := range []int{-1, MaxHorizon + 1} {
		if _, err := New(hourly(50, func(i int) float64 { return float64(i) }), Options{Horizon: h}); !errors.Is(err, ErrHorizon) {
			t.Errorf("horizon %d: %v", h, err)
		}
	}
}

// The Gram matrices must give what least squares on the rows gives: here an
// exact autoregression is found again.
func TestGramFindsAnExactAutoregression(t *testing.T) {
	z := []float64{1, -0.5}
	for i := 2; i < 200; i++ {
		z = append(z, 0.3+0.6*z[i-1]-0.4*z[i-2]+math.Sin(float64(i*i)))
	}
	for i := 2; i < len(z); i++ { // the driver is put into the constant by differencing it out
		z[i] = 0.3 + 0.6*z[i-1] - 0.4*z[i-2]
	}
	z = z[:30]
	fit := newGram(z, []int{1, 2}, []int{20, 30}, 1).fit(0, []int{0, 1})
	if !fit.ok || math.Abs(fit.coef[0]-0.6) > 1e-3 || math.Abs(fit.coef[1]+0.4) > 1e-3 || math.Abs(fit.constant-0.3) > 1e-3 {
		t.Errorf("got %+v", fit)
	}
}

func read(t *testing.T, o ReadOptions, text string) ([]Series, []Warning, error) {
	t.Helper()
	in := NewInput(o)
	if err := in.Add("x", strings.NewReader(text)); err != nil {
		return nil, nil, err
	}
	return in.Series()
}

func TestFormsOfInput(t *testing.T) {
	for name, text := range map[string]string{
		"long":       "series,t,value\na,2026-01-01T00:00:00Z,1\na,2026-01-01T01:00:00Z,2\na,2026-01-01T02:00:00Z,3\n",
		"wide":       "Time,a\n2026-01-01 00:00:00,1\n2026-01-01 01:00:00,2\n2026-01-01 02:00:00,3\n",
		"semicolon":  "Time;a\n2026-01-01 00:00:00;1\n2026-01-01 01:00:00;2\n2026-01-01 02:00:00;3\n",
		"prometheus": `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"a"},"values":[[1767225600,"1"],[1767229200,"2"],[1767232800,"3"]]}]}}`,
		"export":     `{"metric":{"__name__":"a"},"values":[1,2,3],"timestamps":[1767225600000,1767229200000,1767232800000]}`,
		"cloudwatch": `{"MetricDataResults":[{"Id":"m1","Label":"a","Timestamps":["2026-01-01T02:00:00+00:00","2026-01-01T01:00:00+00:00","2026-01-01T00:00:00+00:00"],"Values":[3,2,1]}]}`,
		"sadf":       `{"sysstat":{"hosts":[{"nodename":"h","statistics":[{"timestamp":{"date":"2026-01-01","time":"00:00:00"},"q":{"n":1}},{"timestamp":{"date":"2026-01-01","time":"01:00:00"},"q":{"n":2}},{"timestamp":{"date":"2026-01-01","time":"02:00:00"},"q":{"n":3}}]}]}}`,
	} {
		series, _, err := read(t, ReadOptions{}, text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s := series[0]
		if len(series) != 1 || !slices.Equal(s.Values, []float64{1, 2, 3}) || s.Step != time.Hour || !s.Start.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: %+v", name, series)
		}
	}
}

func TestCounterWithResetBecomesARate(t *testing.T) {
	series, warnings, err := read(t, ReadOptions{Counter: true}, "series,t,value\nc,0,10\nc,1,12\nc,2,3\nc,3,7\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{2, 3, 4}; !slices.Equal(series[0].Values, want) {
		t.Errorf("got %v, want %v", series[0].Values, want)
	}
	if len(warnings) != 1 || warnings[0].Kind != "reset" {
		t.Errorf("warnings %v", warnings)
	}
}

// Whatever is read, what comes out is a series or a refusal, and its forecast safe.
func FuzzInput(f *testing.F) {
	f.Add([]byte("series,t,value\na,1,2\na,2,3\na,3,1e300\n"), false)
	f.Add([]byte("Time;a\n2026-01-01 00:00:00;1\n"), true)
	f.Add([]byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2,"NaN"]]}]}}`), false)
	f.Add([]byte(`{"MetricDataResults":[{"Label":"a","Timestamps":["x"],"Values":[1]}]}`), false)
	f.Add([]byte(`{"sysstat":{"hosts":[{"statistics":[{"timestamp":{},"cpu":[{"cpu":"all","user":1}]}]}]}}`), false)
	f.Add([]byte{0x1f, 0x8b, 8, 0}, false)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 4, 0}, false)
	f.Add([]byte("sep=;\nTime;a;a\n05/01/2026, 1:00 PM;1,234.5 K;3 MiB\n13/01/2026, 2:00 PM;12%;1 h\n"), false)
	f.Add([]byte("t,a\n25.10.2026 02:00;1 ms\n25.10.2026 02:00;2 \xc2\xb5s\n2026-01-05 00:00:00+00;x\n"), true)
	f.Add([]byte(`[{"metric":{"a":"b"},"values":[null,"1"],"timestamps":[1,2]},{"sysstat":{"hosts":[{"statistics":[{"timestamp":{"date":"2026-01-01","time":"00:00:00","utc":0},"q":{"n":1}}]}]}}]`), false)
	f.Add([]byte("t,a,b\n2026-03-28T00:00:00+01:00,$1,1\n2026-03-29T00:00:00+01:00,($2k),2\n2026-03-30T00:00:00+02:00,-$3/h,3\n"), true)
	f.Add([]byte("t,a\n2024-01-31,1 \xe2\x82\xac\n2024-02-29,USD 2m\n2024-03-31,3GHz\n"), false)
	f.Fuzz(func(t *testing.T, b []byte, counter bool) {
		o := ReadOptions{Counter: counter}
		if counter { // a zone whose clocks change
			o.Zone, _ = time.LoadLocation("Europe/Berlin")
		}
		in := NewInput(o)
		if in.Add("x", bytes.NewReader(b)) != nil {
			return
		}
		series, _, err := in.Series()
		if err != nil {
			return
		}
		for _, s := range series {
			if len(s.Values) > 2000 {
				continue // a sparse index may span millions of steps
			}
			for i := range s.Values {
				if s.Step > 0 && (!s.At(i+1).After(s.At(i)) || s.stepAt(s.At(i)) != i) {
					t.Fatalf("step %d begins at %s, the next one at %s; that is said to be in step %d", i, s.At(i), s.At(i+1), s.stepAt(s.At(i)))
				}
			}
			if got, err := New(s, Options{Horizon: 3}); err == nil {
				safe(t, got)
			}
		}
	})
}

// Any history: the promises of safe hold.
func FuzzForecast(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 250, 0, 0, 7}, uint8(24), 1.0, 0.0)
	f.Add(bytes.Repeat([]byte{9, 1}, 60), uint8(5), 1e200, -3.0)
	f.Fuzz(func(t *testing.T, b []byte, horizon uint8, unit, shift float64) {
		if len(b) > 1500 || math.IsNaN(unit+shift) || math.IsInf(unit+shift, 0) || math.Abs(unit) > 1e300 || math.Abs(shift) > 1e300 {
			return
		}
		s := hourly(len(b), func(i int) float64 {
			if b[i] == 255 {
				return math.NaN()
			}
			return float64(b[i])*unit + shift
		})
		got, err := New(s, Options{Horizon: int(horizon) + 1})
		if err == nil {
			safe(t, got)
		}
	})
}
