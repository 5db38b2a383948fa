package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// ParseDuration reads a time span as a person writes it: what Go reads (90s,
// 1h30m), and days and weeks (7d, 2w).
func ParseDuration(text string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.ParseFloat(number, 64)
			if err != nil || !(math.Abs(n) <= 36500) {
				return 0, fmt.Errorf("%q is no time, as 10s, 1h30m or 7d", text)
			}
			return time.Duration(n * float64(unit)), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no time, as 10s, 1h30m or 7d", text)
	}
	return d, nil
}

// Duration adds a flag for a time span that [ParseDuration] reads. Its default is
// shown in help as a person would write it.
func Duration(flags *pflag.FlagSet, to *time.Duration, name, shorthand string, value time.Duration, usage string) {
	*to = value
	flags.VarP((*duration)(to), name, shorthand, usage)
}

type duration time.Duration

func (d *duration) Set(text string) error {
	v, err := ParseDuration(text)
	if err == nil {
		*d = duration(v)
	}
	return err
}

func (d *duration) Type() string { return "TIME" }

func (d *duration) String() string { return FormatDuration(time.Duration(*d)) }

// FormatDuration writes a time span as a person would: 7d, 2h, 1h30m.
func FormatDuration(d time.Duration) string {
	if days := d / (24 * time.Hour); days > 1 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", days)
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} { // 2h0m0s is 2h
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
