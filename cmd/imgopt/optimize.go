package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"imgopt/config"
	"imgopt/transform"
	"imgopt/transform/codec"
	"imgopt/transform/libvips"
)

// optimizeFlags are the options of optimize beside the configuration's.
type optimizeFlags struct {
	widths, qualities []int
	formats           []string
	out               string
}

// sameFormat asks for what a client gets that accepts no modern format.
const sameFormat = "same"

var formatNames = map[string]string{
	"avif": transform.AVIF, "webp": transform.WebP, "jpeg": transform.JPEG, "jpg": transform.JPEG, "png": transform.PNG, sameFormat: "",
}

// asIs is the width of an image that is not to be resized: nothing is enlarged.
const asIs = math.MaxInt32

func optimizeCommand() *cobra.Command {
	var s settings
	var o optimizeFlags
	cmd := &cobra.Command{
		Use:   "optimize FILE…",
		Short: "Make the variants of local files that the service would serve",
		Long: "Make the variants of local files that the service would serve: the same rules, the same codecs, the same bytes.\n" +
			"FILE is an image, or - for standard input. Every combination of widths, qualities and formats is made.",
		Example: "  imgopt optimize photo.jpg -w 640,1080 -f avif,webp -o out/\n  imgopt optimize - -w 640 -f webp -o - < photo.jpg > photo.webp",
		RunE: func(cmd *cobra.Command, files []string) error {
			c, from, err := s.load()
			if err != nil {
				return err
			}
			variants, err := o.variants(files)
			if err != nil {
				return misuse{err}
			}
			return optimize(cmd, c, from, files, variants, o.out)
		},
	}
	s.register(cmd)
	cmd.Flags().IntSliceVarP(&o.widths, "width", "w", nil, "widths in pixels; a smaller image is not enlarged. Default: the image's own")
	cmd.Flags().IntSliceVarP(&o.qualities, "quality", "q", []int{75}, "qualities from 1 to 100")
	cmd.Flags().StringSliceVarP(&o.formats, "format", "f", []string{sameFormat}, "formats: avif, webp, jpeg, png, or same for what a client gets that accepts neither avif nor webp")
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "a folder; a file name or - (standard output) for a single variant")
	return cmd
}

// variant is one thing to make of one file.
type variant struct {
	file, out string // out: "-", a file name, or a folder with a slash at its end
	format    string // the media type, "" for same
	width     int
	quality   int
	several   bool // the name says which variant it is
}

// variants checks the flags and lists what is to be made.
func (o *optimizeFlags) variants(files []string) ([]variant, error) {
	if len(files) == 0 {
		return nil, errors.New("no FILE given")
	}
	if o.out == "" {
		return nil, errors.New("--out is needed: a folder, a file name, or -")
	}
	if len(o.widths) == 0 {
		o.widths = []int{asIs}
	}
	for _, w := range o.widths {
		if w < 1 {
			return nil, fmt.Errorf("--width %d: must be at least 1", w)
		}
	}
	for _, q := range o.qualities {
		if q < 1 || q > 100 {
			return nil, fmt.Errorf("--quality %d: must be from 1 to 100", q)
		}
	}
	for _, f := range o.formats {
		if _, ok := formatNames[f]; !ok {
			return nil, fmt.Errorf("--format %q: must be avif, webp, jpeg, png or same", f)
		}
	}
	each := len(o.widths) * len(o.qualities) * len(o.formats)
	info, err := os.Stat(o.out)
	folder := strings.HasSuffix(o.out, "/") || err == nil && info.IsDir()
	if !folder && len(files)*each > 1 {
		return nil, fmt.Errorf("--out %q: must be a folder (end it with a slash), because there are %d variants to make", o.out, len(files)*each)
	}
	out := o.out
	if folder {
		out = strings.TrimRight(out, "/") + "/"
	}
	var all []variant
	for _, file := range files {
		if file == "-" && (folder || slices.Index(files, file) != len(files)-1) {
			return nil, errors.New("standard input (-) can only be made into one file: --out must name it")
		}
		for _, w := range o.widths {
			for _, q := range o.qualities {
				for _, f := range o.formats {
					all = append(all, variant{file: file, out: out, format: formatNames[f], width: w, quality: q, several: each > 1})
				}
			}
		}
	}
	return all, nil
}

// path is where the variant goes, once its type is known.
func (v variant) path(media string) string {
	if !strings.HasSuffix(v.out, "/") {
		return v.out
	}
	name := filepath.Base(v.file)
	name = strings.TrimSuffix(name, filepath.Ext(name))
	if v.several {
		if v.width != asIs {
			name += "-w" + strconv.Itoa(v.width)
		}
		name += "-q" + strconv.Itoa(v.quality)
	}
	return v.out + name + "." + extension(media)
}

func extension(media string) string {
	switch _, sub, _ := strings.Cut(media, "/"); sub {
	case "svg+xml":
		return "svg"
	case "x-icon":
		return "ico"
	case "x-icns":
		return "icns"
	default:
		return sub
	}
}

// made is what became of a variant.
type made struct {
	path, note string
	in, out    int
	took       time.Duration
	err        error
}

// optimize makes all variants, some at a time, and reports on standard error, in the order they were asked for.
func optimize(cmd *cobra.Command, c *config.Config, from *config.Provenance, files []string, variants []variant, out string) error {
	log := newLogger(cmd.ErrOrStderr(), config.Log{Level: "warn", Format: c.Log.Format})
	total, container := availableMemory()
	engine, stop, err := fileEngine(c, planMemory(c, from.Of("cache.memory").Kind != config.FromDefault, total, container), log)
	if err != nil {
		return err
	}
	defer stop()
	if strings.HasSuffix(variants[0].out, "/") {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return fmt.Errorf("making the folder for the results: %w", err)
		}
	}
	sources := map[string]func() ([]byte, error){}
	for _, f := range files {
		sources[f] = sync.OnceValues(func() ([]byte, error) { return readSource(cmd.InOrStdin(), f, int64(c.Images.MaximumResponseBody)) })
	}
	results := make([]made, len(variants))
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(workers(c), len(variants)) {
		wg.Go(func() {
			for i := range work {
				results[i] = makeVariant(cmd, engine, c, variants[i], sources[variants[i].file])
			}
		})
	}
	for i := range variants {
		if cmd.Context().Err() == nil {
			work <- i
		} else {
			results[i].err = context.Cause(cmd.Context())
		}
	}
	close(work)
	wg.Wait()
	return reportMade(cmd.ErrOrStderr(), variants, results)
}

// fileEngine is the service's engine.
func fileEngine(c *config.Config, plan memoryPlan, log *slog.Logger) (transform.Engine, func(), error) {
	if c.Transform.Isolation == config.IsolationNone {
		engine, err := libvips.New(engineOptions(c))
		return engine, func() {}, err
	}
	pool, err := codec.NewPool(codecSettings(c, plan, log))
	if err != nil {
		return nil, nil, err
	}
	return pool, func() { _ = pool.Close() }, nil
}

func readSource(stdin io.Reader, file string, limit int64) ([]byte, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("reading the source: %w", err)
		}
		defer f.Close()
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the source: %w", err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("the source is larger than images.maximumResponseBody (%s)", config.ByteSize(limit))
	}
	return body, nil
}

func makeVariant(cmd *cobra.Command, engine transform.Engine, c *config.Config, v variant, source func() ([]byte, error)) (m made) {
	started := time.Now()
	defer func() { m.took = time.Since(started) }()
	body, err := source()
	if err != nil {
		return made{err: err}
	}
	m.in = len(body)
	plan, err := transform.Decide(body, v.format, c.Images.DangerouslyAllowSVG)
	if err != nil {
		m.err = err
		return m
	}
	media := plan.Output
	if plan.Passthrough {
		m.note = "copied: " + plan.Source + " is served as it is, as are animations"
	} else {
		result, err := engine.Encode(cmd.Context(), body, transform.Spec{Output: plan.Output, Width: v.width, Quality: v.quality})
		if err != nil {
			m.err = err
			return m
		}
		body = result
	}
	m.out, m.path = len(body), v.path(media)
	m.err = writeResult(cmd.OutOrStdout(), v, m.path, body)
	return m
}

// writeResult writes the file whole or not at all, and never over its source.
func writeResult(stdout io.Writer, v variant, path string, body []byte) error {
	if path == "-" {
		if _, err := stdout.Write(body); err != nil {
			return fmt.Errorf("writing the result: %w", err)
		}
		return nil
	}
	if in, err := os.Stat(v.file); err == nil {
		if out, err := os.Stat(path); err == nil && os.SameFile(in, out) {
			return fmt.Errorf("the result %s would replace its source", path)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".imgopt-*")
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// reportMade prints a table and returns an error if anything failed.
func reportMade(w io.Writer, variants []variant, results []made) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	failed, in, out := 0, 0, 0
	for i, m := range results {
		if m.err != nil {
			failed++
			fmt.Fprintf(t, "%s\tfailed: %v\n", variants[i].file, m.err)
			continue
		}
		in, out = in+m.in, out+m.out
		fmt.Fprintf(t, "%s\t%s\t%d bytes\t%s of the source\t%s\t%s\n", variants[i].file, m.path, m.out, percent(m.out, m.in), m.took.Round(time.Millisecond), m.note)
	}
	if len(results) > 1 && out > 0 {
		fmt.Fprintf(t, "%d made\t\t%d bytes\t%s of their sources\n", len(results)-failed, out, percent(out, in))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d variants could not be made", failed, len(results))
	}
	return nil
}

func percent(part, whole int) string {
	return strconv.FormatFloat(100*float64(part)/float64(max(whole, 1)), 'f', 1, 64) + " %"
}
