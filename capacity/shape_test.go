package capacity

import (
	"strings"
	"testing"
)

func TestParseShape(t *testing.T) {
	for in, want := range map[string]Shape{
		"1C1G":       {1000, 1 << 30},
		"500m512M":   {500, 512 << 20},
		"16C1024M":   {16000, 1 << 30},
		"2500m1536M": {2500, 1536 << 20},
	} {
		got, err := ParseShape(in)
		if err != nil || got != want {
			t.Errorf("ParseShape(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
	for in, near := range map[string]string{"": "2C4G", "4": "4C4G", "4C": "4C4G", "0C1G": "2C4G", "1C1T": "1C1G", "-1C1G": "2C4G", "1c1g": "1C1G", "1C99999999999999G": "1C1G", "1C1GB": "1C1G", "8C 16G": "8C16G"} {
		_, err := ParseShape(in)
		if err == nil || !strings.HasSuffix(err.Error(), "as in "+near) {
			t.Errorf("ParseShape(%q): %v, want an error that names %s", in, err, near)
		}
	}
	for _, s := range Shapes {
		got, err := ParseShape(s)
		if err != nil || got.String() != s || got.Cores() != float64(got.MilliCPU)/1000 {
			t.Errorf("catalogue shape %s reads as %v, %v", s, got, err)
		}
	}
}

func FuzzParseShape(f *testing.F) {
	for _, s := range append([]string{"", "1C", "m", "999999999999C1G", "1m1M"}, Shapes...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := ParseShape(in)
		if err != nil {
			return
		}
		if s.MilliCPU <= 0 || s.MemoryBytes <= 0 {
			t.Fatalf("%q gave %+v", in, s)
		}
		if again, err := ParseShape(s.String()); err != nil || again != s {
			t.Fatalf("%q is written %q, which reads as %+v, %v", in, s, again, err)
		}
	})
}
