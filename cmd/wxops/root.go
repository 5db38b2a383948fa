package main

import (
	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
)

// The groups of the help text, in the order of the work.
const (
	groupStandards = "standards"
	groupCapacity  = "capacity"
	groupResources = "resources"
	groupPlanning  = "planning"
	groupHelp      = "help"
)

func newRoot(s *cli.IO) *cobra.Command {
	root := &cobra.Command{
		Use:   "wxops",
		Short: "Find out what a service can carry, and plan how much of it is needed",
		Long: `wxops is a toolkit for capacity engineering: it measures what one instance of a
service really carries, on live traffic and without harming it, and plans how
much of the service is needed.

Exit codes of every command: 0 yes, done; 1 the check says no; 2 wrong usage or
unusable input; 3 it could not be done; 4 a guard stopped it; 130 interrupted.`,
		Example: `  wxops stress demo        see an online stress test in 20 seconds
  wxops doctor             what works on this machine
  wxops stress shift checkout/a --slo 'p99<50ms' \
    --names 'haproxy:unix:/run/haproxy.sock?backend=checkout'`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.RequireSubcommand,

		Version: toolVersion(), // wxops --version
	}
	root.SetVersionTemplate(platform() + "\n")
	root.AddGroup(
		&cobra.Group{ID: groupStandards, Title: "Standards:"},
		&cobra.Group{ID: groupCapacity, Title: "Capacity:"},
		&cobra.Group{ID: groupResources, Title: "Resources:"},
		&cobra.Group{ID: groupPlanning, Title: "Planning:"},
		&cobra.Group{ID: groupHelp, Title: "Help:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupStandards, newLintConfig(s), newNames(s))
	add(groupCapacity, newStress(s), newCapacity(s))
	add(groupResources, newSlice(s))
	add(groupPlanning, newForecast(s))
	add(groupHelp, newDoctor(s), newSchema(s), newCompletion(s), newVersion(s))
	root.AddCommand(newWatchdog(s))
	return root
}
