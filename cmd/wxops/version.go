package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/wxops/wxops/internal/cli"
)

// version is set at release by the linker; a build from source takes it from
// the module's build information.
var version = ""

// toolVersion returns "wxops VERSION", the tool field of every document.
func toolVersion() string {
	v := version
	if v == "" {
		v = "devel"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
			v = info.Main.Version
		}
	}
	return "wxops " + v
}

// platform is the line of "wxops version": version, Go release and platform.
func platform() string {
	return fmt.Sprintf("%s %s %s/%s", toolVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func newVersion(s *cli.IO) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the Go release and the platform",
		Example: `  wxops version
  wxops version | cut -d' ' -f2
  wxops version --quiet`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.Out, platform())
			return err
		},
	}
}
