package main

import (
	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
)

func newStress(s *cli.IO) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stress",
		Short: "Find out what a service can carry",
		Example: `  wxops stress demo
  wxops stress shift checkout/a --slo 'p99<50ms' \
      --names 'haproxy:unix:/run/haproxy.sock?backend=checkout'
  wxops stress load http://127.0.0.1:8080/ -r 5000 -d 30s
  wxops stress restore`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.RequireSubcommand,
	}
	cmd.AddCommand(newStressDemo(s), newStressShift(s), newRestore(s, "wxops stress restore"))
	cmd.AddCommand(newStressLoad(s), newStressGate(s), newStressReplay(s), newStressReport(s))
	cmd.AddCommand(newStressSimulate(s), newStressReplayLog(s))
	return cmd
}
