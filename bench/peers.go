package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// peer is one of those that are compared.
type peer struct {
	name string
	// start runs it on loopback, in the state a new installation is in, and waits until it answers.
	start func(ctx context.Context) (*stack, error)
	// target is the path and query of a variant: a source's url, its width, and an output format.
	target func(source string, width int, format string) string
	// formats are those it makes of any source; nil is all. Platformatic keeps the source's.
	formats []string
	// tells says whether it says MISS and HIT.
	tells bool
	// bytes is whether its answers must be those of Next.js, byte for byte.
	bytes bool
	// once is whether it keeps results, so that each variant is fetched and made once.
	once bool
}

func (p peer) makes(format string) bool {
	return p.formats == nil || slices.Contains(p.formats, format)
}

// stack is what serves one measurement: one process, or several that belong together.
type stack struct {
	base    string
	parts   []*process // in the order in which they end
	also    []*process // what is measured with them and lives longer
	watcher *watcher
}

func (s *stack) pids() []int {
	var out []int
	for _, p := range slices.Concat(s.parts, s.also) {
		out = append(out, p.PID())
	}
	return out
}

// cpu is the processor time that all processes have used.
func (s *stack) cpu() float64 {
	var sum float64
	for _, pid := range s.pids() {
		sum += treeCPU(pid)
	}
	return sum
}

// ended reports a process that is no longer there.
func (s *stack) ended() error {
	for _, p := range s.parts {
		select {
		case <-p.Ended():
			return fmt.Errorf("%s ended by itself: %w: %s", p.name, p.Wait(), p.tail())
		default:
		}
	}
	return nil
}

// close ends everything and returns the peak memory, 0 for what somebody else has started.
func (s *stack) close() (peak int64, err error) {
	errs := []error{s.ended()}
	if s.watcher != nil {
		peak = s.watcher.close()
	}
	for _, p := range s.parts {
		errs = append(errs, p.stop())
	}
	return peak, errors.Join(errs...)
}

// run1 starts a stack of one program that listens on a port of its own.
func run1(ctx context.Context, port int, l launch, ready string, also ...*process) (*stack, error) {
	s := &stack{base: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p, err := startProcess(ctx, l)
	if err == nil {
		err = p.await(ctx, func() error { return answersAny(s.base + ready) })
	}
	if err != nil {
		for _, a := range also {
			err = errors.Join(err, a.stop())
		}
		return nil, err
	}
	s.parts = append([]*process{p}, also...)
	s.watcher = watch(s.pids, nil)
	return s, nil
}

// nextTarget is what Next.js' own loader asks for, and accepts is the header that chooses the format.
func nextTarget(source string, width int, _ string) string {
	return fmt.Sprintf("/_next/image?url=%s&w=%d&q=%d", url.QueryEscape(source), width, quality)
}

// quality is asked of everybody. AVIF's is scaled as Next.js does: see avifQuality.
const quality = 75

// accepts is the header of a client that takes this format.
func accepts(format string) string { return "image/" + format }

// imgoptArgs are the settings of every imgopt that is compared: those of the Next.js application.
func imgoptArgs() []string {
	return []string{"--origin", "http://127.0.0.1:9", "--images.formats", "image/avif,image/webp", "--images.dangerouslyAllowLocalIP=true",
		"--images.remotePatterns", `[{"protocol":"http","hostname":"127.0.0.1"}]`, "--adminListen", "", "--log.access=false"}
}

// imgopt is this project, with more arguments.
func imgopt(s settings, name string, args ...string) peer {
	return peer{name: name, target: nextTarget, tells: true, bytes: true, once: true, start: func(ctx context.Context) (*stack, error) {
		return startImgopt(ctx, s, false, args)
	}}
}

func startImgopt(ctx context.Context, s settings, session bool, args []string, also ...*process) (*stack, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	argv := append([]string{s.imgopt, "serve", "--listen", fmt.Sprintf("127.0.0.1:%d", port)}, imgoptArgs()...)
	return run1(ctx, port, launch{argv: append(argv, args...), session: session}, "/_next/image", also...)
}

// imgoptValkey is imgopt with a Valkey server, whose processor time and memory are counted with it.
func imgoptValkey(s settings, name string, args ...string) peer {
	p := imgopt(s, name)
	p.start = func(ctx context.Context) (*stack, error) {
		server, url, err := startValkey(ctx)
		if err != nil {
			return nil, err
		}
		return startImgopt(ctx, s, false, append([]string{"--storage.type", "valkey", "--storage.url", url}, args...), server.process)
	}
	return p
}

// imgoptDisk keeps results on disk and in memory, as Next.js keeps them on disk.
func imgoptDisk(s settings, name, dir string, args ...string) peer {
	p := imgopt(s, name)
	p.start = func(ctx context.Context) (*stack, error) {
		cache, err := os.MkdirTemp(dir, "cache-")
		if err != nil {
			return nil, err
		}
		return startImgopt(ctx, s, false, append([]string{"--cache.disk.path", cache}, args...))
	}
	return p
}

// node is the Node.js that all peers run on, from the lock file.
func node(s settings) string {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return filepath.Join(s.peers, "node_modules", "node-linux-"+arch, "bin", "node")
}

var nodeEnv = []string{"NODE_ENV=production", "NEXT_TELEMETRY_DISABLED=1"}

// next is `next start` of the application in bench/peers. Its disk cache is emptied at each start unless keep is set.
func next(s settings, keep bool) peer {
	return peer{name: "next start", target: nextTarget, tells: true, bytes: true, once: true, start: func(ctx context.Context) (*stack, error) {
		if !keep {
			if err := os.RemoveAll(filepath.Join(s.peers, ".next", "cache", "images")); err != nil {
				return nil, fmt.Errorf("emptying Next.js' cache: %w", err)
			}
		}
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		return run1(ctx, port, launch{dir: s.peers, env: nodeEnv,
			argv: []string{node(s), "node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1", "-p", fmt.Sprint(port)}}, "/_next/image")
	}}
}

// platformatic is @platformatic/next in image-optimizer mode with @platformatic/job-queue, one worker for each CPU.
func platformatic(s settings, storage string) peer {
	p := peer{name: "platformatic, " + storage, target: nextTarget, formats: []string{"jpeg"}}
	p.start = func(ctx context.Context) (*stack, error) {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		env := append(slices.Clone(nodeEnv), fmt.Sprintf("BENCH_PORT=%d", port), fmt.Sprintf("BENCH_WORKERS=%d", runtime.NumCPU()))
		var also []*process
		if storage == "valkey" {
			server, url, err := startValkey(ctx)
			if err != nil {
				return nil, err
			}
			also = append(also, server.process)
			env = append(env, "BENCH_VALKEY="+strings.Replace(url, "valkey://", "redis://", 1))
		}
		return run1(ctx, port, launch{dir: filepath.Join(s.peers, "platformatic-"+storage), env: env,
			argv: []string{node(s), "../node_modules/wattpm/bin/cli.js", "start"}}, "/_next/image", also...)
	}
	return p
}

// ipxFormats are its names of output formats.
var ipxFormats = map[string]string{"jpeg": "jpeg", "webp": "webp", "avif": "avif", "png": "png"}

// ipx is the command of the package of that name.
func ipx(s settings) peer {
	return peer{name: "ipx", start: func(ctx context.Context) (*stack, error) {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		return run1(ctx, port, launch{dir: s.peers, env: append(slices.Clone(nodeEnv), fmt.Sprintf("PORT=%d", port)),
			argv: []string{node(s), "node_modules/ipx/bin/ipx.mjs", "serve", "--dir", "app", "--domains", "127.0.0.1", "--host", "127.0.0.1", "--port", fmt.Sprint(port)}}, "/")
	}, target: func(source string, width int, format string) string {
		return fmt.Sprintf("/f_%s,w_%d,q_%d/%s", ipxFormats[format], width, qualityOf(format), source)
	}}
}

// qualityOf is the encoder's quality for the quality that is asked for: what Next.js makes of it for AVIF, and the same
// for all others.
func qualityOf(format string) int {
	if format == "avif" {
		return (quality*50 + 40) / 80
	}
	return quality
}

// elsewhere are servers that somebody has started: imgproxy and imagor, of which there is no package on npm. What they
// use of the machine is not known here.
func elsewhere(s settings) []peer {
	var out []peer
	running := func(base string) func(context.Context) (*stack, error) {
		return func(context.Context) (*stack, error) { return &stack{base: strings.TrimSuffix(base, "/")}, nil }
	}
	if s.imgproxy != "" {
		out = append(out, peer{name: "imgproxy", start: running(s.imgproxy), target: func(source string, width int, format string) string {
			return fmt.Sprintf("/insecure/rs:fit:%d/q:%d/f:%s/plain/%s", width, qualityOf(format), format, url.QueryEscape(source))
		}})
	}
	if s.imagor != "" {
		out = append(out, peer{name: "imagor", start: running(s.imagor), target: func(source string, width int, format string) string {
			return fmt.Sprintf("/unsafe/%dx0/filters:quality(%d):format(%s)/%s", width, qualityOf(format), format, url.QueryEscape(source))
		}})
	}
	return out
}
