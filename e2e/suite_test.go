//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	groupsFlag   = flag.String("e2e.groups", "", "run only the groups that match this regular expression")
	variantsFlag = flag.String("e2e.variants", "", "run only the variants that match this regular expression")
)

// lanes is how many variants are worked on at a time. Each lane keeps Next.js and imgopt busy at once.
const lanes = 2

// requestTimeout bounds one request; the slowest are answered after three timeouts of 7 s.
const requestTimeout = 60 * time.Second

// group is a set of comparisons on one variant.
type group struct {
	name    string
	variant string
	// apart says that the group mostly waits: such groups run at the end, all at once, with nothing else going on.
	apart bool
	// alone says that the group runs before those, with nothing else going on.
	alone bool
	run   func(*session)
}

// groups returns every group of the suite.
func groups() []group {
	var all []group
	for _, some := range [][]group{
		parameterGroups(), urlGroups(), patternGroups(), acceptGroups(), imageGroups(), upstreamGroups(), internalGroups(),
		headerGroups(), conditionalGroups(), routeGroups(), togetherGroups(), secureGroups(), deploymentGroups(), randomGroups(), freshnessGroups(),
	} {
		all = append(all, some...)
	}
	return all
}

// side is one of the two servers.
type side struct{ name, addr string }

// pair is Next.js and the subject, running with the configuration of one variant.
type pair struct {
	variant       string
	next, subject side
	imgopt        *imgopt // nil when the subject is another Next.js
	base, slash   string  // basePath, and "/" with trailingSlash
}

// suite is what all sessions share.
type suite struct {
	origin *Origin
	rec    *Recorder
	assets assets
}

// session runs one group on one pair.
type session struct {
	*suite
	*pair
	t     testing.TB
	ctx   context.Context
	group string
}

// TestConformance compares imgopt (or, with E2E_SUBJECT=next, a second Next.js) with Next.js.
func TestConformance(t *testing.T) {
	began := time.Now()
	selected := selectGroups(t)
	s := &suite{rec: &Recorder{}, assets: loadAssets(t)}
	s.origin = startOrigin(t, s.assets)

	var pairs sync.Map
	perVariant(selected, func(variant string, _ []group) {
		p, err := startPair(t, variant)
		if err != nil {
			t.Errorf("variant %s: %v", variant, err)
			return
		}
		pairs.Store(variant, p)
	})
	if t.Failed() {
		return
	}
	ready := time.Since(began)
	run := func(g group) {
		p, _ := pairs.Load(g.variant)
		start := time.Now()
		g.run(&session{suite: s, pair: p.(*pair), t: t, ctx: t.Context(), group: g.name})
		fmt.Printf("%-24s %-10s %6.1f s\n", g.name, g.variant, time.Since(start).Seconds())
	}
	perVariant(selected, func(_ string, own []group) {
		for _, g := range own {
			if !g.apart && !g.alone {
				run(g)
			}
		}
	})
	for _, g := range selected {
		if g.alone {
			run(g)
		}
	}
	var apart sync.WaitGroup
	for _, g := range selected {
		if g.apart {
			apart.Go(func() { run(g) })
		}
	}
	apart.Wait()
	about := []string{versions(), fmt.Sprintf("%v: %.0f s to start, %.0f s in all", began.Format(time.DateTime), ready.Seconds(), time.Since(began).Seconds())}
	report(t, about, s.rec.Results())
}

// selectGroups returns the groups the flags ask for.
func selectGroups(t *testing.T) []group {
	byName, err := regexp.Compile(*groupsFlag)
	if err != nil {
		t.Fatal(err)
	}
	byVariant, err := regexp.Compile(*variantsFlag)
	if err != nil {
		t.Fatal(err)
	}
	selected := slices.DeleteFunc(groups(), func(g group) bool {
		return !byName.MatchString(g.name) || !byVariant.MatchString(g.variant)
	})
	if len(selected) == 0 {
		t.Fatal("no group is selected")
	}
	return selected
}

// perVariant calls do once per variant with its groups, lanes of them at a time, and waits.
func perVariant(all []group, do func(variant string, own []group)) {
	var order []string
	own := map[string][]group{}
	for _, g := range all {
		if own[g.variant] == nil {
			order = append(order, g.variant)
		}
		own[g.variant] = append(own[g.variant], g)
	}
	free := make(chan struct{}, lanes)
	var wg sync.WaitGroup
	for _, variant := range order {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			do(variant, own[variant])
		})
	}
	wg.Wait()
}

// startPair starts both sides of a variant. "hosts" is the variant, and imgopt reads the build of Next.js; with
// "hosts by yaml" and the like imgopt gets the same configuration another way, see imgoptConfig.
func startPair(t *testing.T, variant string) (*pair, error) {
	build, how, _ := strings.Cut(variant, " by ")
	p := &pair{variant: variant}
	if build == "basepath" {
		p.base, p.slash = "/docs", "/"
	}
	probe := p.base + "/assets/tile.png"
	next, addr, err := startNext(t, build, "next-"+variant)
	if err != nil {
		return nil, err
	}
	p.next = side{"next", addr}
	if err := next.ready(t.Context(), addr, probe); err != nil {
		return nil, err
	}
	switch subject := os.Getenv("E2E_SUBJECT"); subject {
	case "", "imgopt":
		config, err := imgoptConfig(t, build, how)
		if err != nil {
			return nil, err
		}
		if p.imgopt, err = startImgopt(t, "imgopt-"+variant, "http://"+addr, config...); err != nil {
			return nil, err
		}
		p.subject = side{"imgopt", p.imgopt.addr}
	case "next":
		twin, addr, err := startNext(t, build, "twin-"+variant)
		if err != nil {
			return nil, err
		}
		p.subject = side{"twin", addr}
		if err := twin.ready(t.Context(), addr, probe); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("E2E_SUBJECT=%s: want imgopt or next", subject)
	}
	return p, nil
}

// imgoptConfig returns the lines of a configuration that gives imgopt what Next.js has in a build: the build itself,
// one of its manifests alone, or the same keys written out.
func imgoptConfig(t *testing.T, build, how string) ([]string, error) {
	dir, err := nextDir(build)
	if err != nil {
		return nil, err
	}
	only := func(manifests ...string) ([]string, error) {
		own := t.TempDir()
		for _, name := range manifests {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(own, name), b, 0o644); err != nil {
				return nil, err
			}
		}
		return []string{"nextDir: " + own}, nil
	}
	switch how {
	case "":
		return []string{"nextDir: " + dir}, nil
	case "deployments": // versions, none of which is there; the cookie would be in Vary
		return []string{"nextDir: " + dir, "deployment: {origin: 'file://" + t.TempDir() + "/{dpl}', cookie: ''}"}, nil
	case "images-manifest": // patterns as regular expressions
		return only("images-manifest.json", "routes-manifest.json")
	case "server-files":
		return only("required-server-files.json")
	case "yaml":
		b, err := os.ReadFile(filepath.Join(dir, "required-server-files.json"))
		if err != nil {
			return nil, err
		}
		var manifest struct {
			Config struct {
				BasePath      string                     `json:"basePath"`
				TrailingSlash bool                       `json:"trailingSlash"`
				Images        map[string]json.RawMessage `json:"images"`
			} `json:"config"`
		}
		if err := json.Unmarshal(b, &manifest); err != nil {
			return nil, err
		}
		images := manifest.Config.Images
		for _, key := range []string{"path", "loaderFile", "disableStaticImages", "customCacheHandler"} {
			delete(images, key) // not settings of the optimizer
		}
		b, err = json.Marshal(images)
		return []string{"images: " + string(b), "basePath: " + strconv.Quote(manifest.Config.BasePath), fmt.Sprint("trailingSlash: ", manifest.Config.TrailingSlash)}, err
	}
	return nil, fmt.Errorf("no way %q to configure imgopt", how)
}

// image returns the target that asks for an image.
func (p *pair) image(src string, width, quality int) string {
	return p.target(fmt.Sprintf("url=%s&w=%d&q=%d", url.QueryEscape(src), width, quality))
}

// build is the name of the build that the variant uses.
func (p *pair) build() string {
	name, _, _ := strings.Cut(p.variant, " by ")
	return name
}

// target returns the target with a query as it is given.
func (p *pair) target(query string) string {
	return p.base + "/_next/image" + p.slash + "?" + query
}

// get compares a GET; see do.
func (s *session) get(name, target string, header ...string) (want, got *Response) {
	return s.do(name, Request{Target: target, Header: header}, nil)
}

// do sends the request to both sides at once, records the comparison and returns the answers. A side that does not
// answer gives nil and a failure.
func (s *session) do(name string, r Request, allow *Allowance) (want, got *Response) {
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	var errWant, errGot error
	var wg sync.WaitGroup
	start := time.Now()
	wg.Go(func() { want, errWant = r.Do(ctx, s.next.addr) })
	wg.Go(func() { got, errGot = r.Do(ctx, s.subject.addr) })
	wg.Wait()
	res := Result{Group: s.group, Variant: s.variant, Name: name, Curl: []string{r.Curl(s.next.addr), r.Curl(s.subject.addr)}, Took: time.Since(start)}
	if errWant != nil || errGot != nil {
		res.Outcome = Failed
		for _, e := range []struct {
			name string
			err  error
		}{{s.next.name, errWant}, {s.subject.name, errGot}} {
			if e.err != nil {
				res.Diffs = append(res.Diffs, fmt.Sprintf("%s does not answer: %v", e.name, e.err))
			}
		}
		s.rec.Add(res)
		return nil, nil
	}
	if r.Proto == "HTTP/1.0" {
		allow = withLength(allow)
	}
	if s.subject.name == "twin" {
		allow = nil // Next.js has no difference to itself
	}
	s.rec.Judge(res, want, got, allow)
	return want, got
}

// expect asks the subject alone, where Next.js does not answer at all.
func (s *session) expect(name, target string, status int, text string) {
	if s.subject.name == "twin" {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	got, err := Request{Target: target}.Do(ctx, s.subject.addr)
	switch {
	case err != nil:
		s.fail(name, "%v", err)
	case got.Status != status || string(got.Body) != text:
		s.fail(name, "want %d %q, got %d %s", status, text, got.Status, bodyText(got.Body))
	default:
		s.rec.Add(Result{Group: s.group, Variant: s.variant, Name: name, Outcome: Allowed, Allowance: "hangs"})
	}
}

// fail records a failure that is not a comparison of two answers.
func (s *session) fail(name, format string, args ...any) {
	s.rec.Add(Result{Group: s.group, Variant: s.variant, Name: name, Outcome: Failed, Diffs: []string{fmt.Sprintf(format, args...)}})
}

// report prints the table, writes the report, and fails the test for every failed comparison.
func report(t *testing.T, about []string, results []Result) {
	dir, err := filepath.Abs("results")
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteReport(dir, about, results); err != nil {
		t.Error(err)
	}
	shown := map[string]int{}
	for _, r := range results {
		if r.Outcome != Failed {
			continue
		}
		if shown[r.Group]++; shown[r.Group] <= 5 {
			t.Errorf("%s", r)
		}
	}
	for _, r := range rows(results) {
		if r.failed > 5 && r.group != "all" {
			t.Errorf("%s: %d more failures", r.group, r.failed-5)
		}
	}
	t.Logf("%s\n\n%s\nsee %s", strings.Join(about, "\n"), Table(results), filepath.Join(dir, "report.html"))
}

// versions names what is compared.
func versions() string {
	line := func(argv ...string) string {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir = "next"
		out, err := cmd.Output()
		if err != nil {
			return fmt.Sprintf("%s: %v", argv[0], err)
		}
		return strings.Join(strings.Fields(string(out)), " ")
	}
	about := line("node", "-p", `const v = require("sharp").versions; "node " + process.version + ", next " + require("next/package.json").version + ", sharp " + v.sharp + ", libvips " + v.vips`)
	if bin, err := imgoptBinary(); err == nil {
		about += "; " + line(bin, "version")
	}
	return about
}
