package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"imgopt/transform/libvips"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of imgopt, libvips and every codec",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "imgopt %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			fmt.Fprintf(out, "libvips %s\n", libvips.Version())
			codecs, origin := codecVersions()
			fmt.Fprintf(out, "codecs (%s):\n", origin)
			for _, c := range codecs {
				fmt.Fprintf(out, "  %-12s %s\n", c[0], c[1])
			}
			return nil
		},
	}
}

// codecVersions lists the libraries inside libvips: the pinned build brings a list of them in a file beside it;
// of the distribution's, libvips tells what it is linked with.
func codecVersions() (codecs [][2]string, origin string) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err == nil {
		for _, dir := range []string{"lib", "../lib/imgopt"} {
			b, err := os.ReadFile(filepath.Join(filepath.Dir(self), dir, "versions.json"))
			if err != nil {
				continue
			}
			var versions map[string]string
			if json.Unmarshal(b, &versions) != nil {
				continue
			}
			for name, v := range versions {
				codecs = append(codecs, [2]string{name, v})
			}
			slices.SortFunc(codecs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
			return codecs, "pinned, from npm"
		}
	}
	return libvips.Codecs(), "the distribution's"
}
