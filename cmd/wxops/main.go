// Command wxops finds out what a service can carry and plans how much of it is needed.
package main

import (
	"os"

	"github.com/wxops/wxops/internal/cli"
)

func main() {
	os.Exit(cli.Main(newRoot))
}
