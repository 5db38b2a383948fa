package main

import (
	"github.com/spf13/cobra"

	"github.com/wxops/wxops/capacity"
	"github.com/wxops/wxops/internal/cli"
	"github.com/wxops/wxops/internal/doc"
)

// kindCurve is written by every stress test and read by sizing.
var kindCurve = doc.Kind{Name: "curve", Version: 1, Title: "Performance model of one instance", Data: capacity.Curve{}}

// kinds lists every document that wxops writes or reads.
func kinds() []doc.Kind {
	return []doc.Kind{
		kindLint,
		kindNames,
		kindWeights,
		kindNamesEvent,
		kindDryRun,
		kindCurve,
		kindSimulate,
		kindLoad,
		kindVerdict,
		kindSlicePlan,
		kindSlices,
		kindSliceDrift,
		kindSliceAttach,
		kindSliceRemoved,
		kindSliceCuts,
		kindOffline,
		kindForecast,
		kindCapacity,
		kindPlan,
		kindReplay,
		kindDoctor,
	}
}

func newSchema(s *cli.IO) *cobra.Command {
	var known []string
	for _, k := range kinds() {
		known = append(known, k.Name)
	}
	return &cobra.Command{
		Use:   "schema [KIND]",
		Short: "Print the JSON Schema of a document, or list the kinds",
		Example: `  wxops schema
  wxops schema curve
  wxops schema curve > curve.schema.json`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: known,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				t := cli.NewTable("KIND", "SCHEMA", "WHAT")
				for _, k := range kinds() {
					t.Row(k.Name, k.Schema(), k.Title)
				}
				return t.Write(s.Out)
			}
			for _, k := range kinds() {
				if k.Name == args[0] || k.Schema() == args[0] {
					_, err := s.Out.Write(doc.JSONSchema(k))
					return err
				}
			}
			return cli.OneOf("wxops schema", args[0], known)
		},
	}
}
