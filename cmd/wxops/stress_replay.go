package main

import (
	"errors"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/forecast"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/stress/load"
)

func newStressReplay(s *cli.IO) *cobra.Command {
	var f loadFlags
	var out cli.Output
	rec := &load.Recording{}
	var filter, maxBad string
	cmd := &cobra.Command{
		Use:   "replay LOG URL",
		Short: "Send the requests of an access log again, in their own time",
		Long: `replay reads an access log (combined format of nginx and Apache, JSON lines with
named fields, vegeta targets with timestamps, HAR; also packed, - for standard
input) and sends its requests to URL with the log's own timing. The log is read
as it is replayed. Bad lines are counted, and refused above --max-bad. Where a
log tells whole seconds only, its requests are spread evenly over each second.

Exit codes are those of "wxops stress load"; 2 too many lines are no requests.`,
		Example: `  wxops stress replay access.log http://127.0.0.1:8080/
  wxops stress replay access.log.gz http://127.0.0.1:8080/ --speed 2 --loop
  wxops stress replay access.log http://127.0.0.1:8080/ --filter '^GET /api/'`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			o, terms, err := f.options(cmd.Context(), s, args[1])
			if err != nil {
				return err
			}
			if rec.Speed <= 0 {
				return cli.Usagef("--speed %v is not positive", rec.Speed)
			}
			if rec.MaxBad, err = parseShare(maxBad); err != nil {
				return cli.Usagef("--max-bad %q is no share from 0 to 100%%, as 1%% or 0.01", maxBad)
			}
			if rec.MaxBad == 0 {
				rec.MaxBad = -1 // none
			}
			if filter != "" {
				if rec.Filter, err = regexp.Compile(filter); err != nil {
					return cli.Usagef("--filter %q is no expression", filter).WithCause(err).WithHint("--filter '^GET /api/'")
				}
			}
			if args[0] == "-" && rec.Loop {
				return cli.Usagef("--loop cannot begin standard input again")
			}
			if args[0] != "-" {
				if _, err := os.Stat(args[0]); err != nil {
					return cli.Unreadable(args[0], err)
				}
			}
			rec.Source = func() (io.ReadCloser, error) { return openLog(s, args[0]) }
			rec.Base, rec.Portion = o.Targets[0], o.Duration
			o.Recording, o.Stages = rec, nil
			return runLoad(cmd.Context(), s, &out, o, terms, &f)
		},
	}
	f.add(cmd)
	f.addWatching(cmd)
	fl := cmd.Flags()
	fl.Float64Var(&rec.Speed, "speed", 1, "2 sends twice as fast as the log")
	fl.BoolVar(&rec.Loop, "loop", false, "begin again at the end, until interrupted")
	fl.StringVar(&filter, "filter", "", "only requests whose 'METHOD PATH' matches this `REGEXP`")
	fl.StringVar(&maxBad, "max-bad", "1%", "`SHARE` of lines that may be no requests")
	fl.Lookup("duration").Usage = "`TIME` of the log that is sent (default all of it)"
	out.AddFileFlag(cmd)
	out.AddFlag(cmd, "table", "json", "yaml", "csv", "ndjson")
	return cmd
}

// parseShare reads a share as 1% or 0.01.
func parseShare(s string) (float64, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err == nil && !(v >= 0 && v <= 1) {
		err = errors.New("outside [0, 1]")
	}
	return v, err
}

type readCloser struct {
	io.Reader
	io.Closer
}

// openLog opens a file or standard input, and unpacks it.
func openLog(s *cli.IO, name string) (io.ReadCloser, error) {
	in := io.NopCloser(s.In)
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		in = file
	}
	text, err := forecast.Unpack(in)
	if err != nil {
		return nil, err
	}
	return readCloser{text, in}, nil
}

// checkLog puts what was read of the log into the document. The error says
// that the log could not be read to its end, or holds no requests.
func checkLog(d *load.Document, r *load.Recording) error {
	read, err := r.Read()
	d.Log, d.Mode, d.Arrivals = &read, "replay", "recorded"
	if err != nil {
		if d.Verdict == load.VerdictValid {
			d.Verdict, d.Reason = load.VerdictInterrupted, "the log could not be read to its end: "+err.Error()
		}
		return logError(err)
	}
	if read.Requests == 0 {
		return cli.Usagef("the log holds no request: %d lines, %d bad", read.Lines, read.Bad).WithHint("wxops stress replay --help lists the formats")
	}
	return nil
}

func logError(err error) error {
	e := cli.Usagef("the log cannot be replayed").WithCause(err)
	if errors.Is(err, load.ErrBadLog) {
		return e.WithHint("--max-bad 10%% accepts more bad lines; wxops stress replay --help lists the formats")
	}
	return e.WithHint("wxops stress replay --help lists the formats")
}
