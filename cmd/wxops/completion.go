package main

import (
	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
)

func newCompletion(s *cli.IO) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a completion script for bash, zsh, fish or powershell",
		Example: `  source <(wxops completion bash)
  wxops completion zsh > "${fpath[1]}/_wxops"
  wxops completion fish > ~/.config/fish/completions/wxops.fish`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(s.Out, true)
			case "zsh":
				return root.GenZshCompletion(s.Out)
			case "fish":
				return root.GenFishCompletion(s.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(s.Out)
			}
			return cli.OneOf("wxops completion", args[0], shells)
		},
	}
}
