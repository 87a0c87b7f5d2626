// Command generate makes testdata/images: one small file per case an image optimizer can meet, with
// cases.json (what each shows and what Next answers), a manifest of checksums, a README and a
// contact sheet. Everything is drawn or written by this program; nothing is taken from elsewhere.
//
//	. scripts/env && go run ./testdata/generate            make everything again
//	. scripts/env && go run ./testdata/generate -check     change nothing, tell what differs
//	. scripts/env && go run ./testdata/generate -large DIR large pictures for benchmarks, not committed
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("out", "testdata/images", "the `folder` of the corpus")
	check := flags.Bool("check", false, "verify the folder against its MANIFEST, make everything anew elsewhere and compare")
	large := flags.String("large", "", "write large pictures for benchmarks into this `folder`, and nothing else")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	err := startVips()
	switch {
	case err != nil:
	case *large != "":
		err = writeLarge(*large)
	case *check:
		err = verify(*out, stdout)
	default:
		err = write(*out, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "generate:", err)
		return 1
	}
	return 0
}

// writeLarge makes a picture of six megapixels in the formats that benchmarks read.
func writeLarge(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("large pictures: %w", err)
	}
	p := rgbPixels(photo(3000, 1))
	for _, f := range [][2]string{{".jpg", "Q=85"}, {".png", "compression=6"}, {".webp", "Q=80"}, {".avif", "Q=60,effort=3"}, {".tif", "compression=lzw"}} {
		b, err := p.encode(f[0] + "[" + f[1] + "]")
		if err != nil {
			return fmt.Errorf("large pictures: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, "photo-6mp"+f[0]), b, 0o644); err != nil {
			return fmt.Errorf("large pictures: %w", err)
		}
	}
	return nil
}
