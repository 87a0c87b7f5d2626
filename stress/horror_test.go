//go:build e2e

package stress

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// One of each that many damaged copies is asked for unless STRESS_FULL is set, so that the test takes a minute on two
// cores. Bombs and polyglots are always asked for, with every Accept header.
const (
	cutsShare    = 4
	flipsShare   = 250
	splicesShare = 3
)

// horrorTimeout is the time limit of one encoding in this test: what would take longer is the same as what takes that.
const horrorTimeout = 2 * time.Second

// horrorClients ask at once.
const horrorClients = 8

// TestHorror sends the corpus through the service. The service lives, its memory stays under the limit that follows
// from its configuration, and every answer is a valid image, the source itself, a client error, or 503.
func TestHorror(t *testing.T) {
	o := startOrigin(t, "127.0.0.1")
	flags := append(small.flags(t), "--origin=http://"+o.addr, "--images.formats=image/avif,image/webp", "--images.dangerouslyAllowSVG",
		anyHost, "--images.dangerouslyAllowLocalIP", "--transform.timeout="+horrorTimeout.String(), "--log.level=info")
	s := startService(t, flags...)
	good := testImage(t, "photo-640.jpg")
	h := &horror{s: s, o: o, client: newClient(t, horrorClients, 2*patience), groups: map[string]*tally{}}
	if k, err := h.ask(source{group: "good", name: "photo.jpg", make: func() []byte { return good }}, 640, accepts[1], "warm", false); k != encoded {
		t.Fatalf("a good image: %s, %v", k, err)
	}
	before, started := s.resting(t), s.metrics(t)
	stop := s.watch(t)
	began := time.Now()
	h.run(t)
	took := time.Since(began)
	seen := stop()
	s.mustRun(t)

	asked := time.Now()
	if k, err := h.ask(source{group: "good", name: "photo.jpg", make: func() []byte { return good }}, 640, accepts[1], "after", false); k != encoded {
		t.Errorf("a good image afterwards: %s, %v", k, err)
	}
	if d := time.Since(asked); d > slackFactor()*time.Second {
		t.Errorf("a good image afterwards took %v", d)
	}
	h.client.CloseIdleConnections()
	s.backAtRest(t, before, o)
	small.check(t, seen, horrorClients)
	h.report(t, started, s.metrics(t), seen, took)
}

// horror sends sources and counts what becomes of them.
type horror struct {
	s      *service
	o      *origin
	client *http.Client

	mu     sync.Mutex
	groups map[string]*tally
	bad    int
}

// tally counts the answers of a group.
type tally struct {
	Answers map[kind]int  `json:"answers"`
	Slowest time.Duration `json:"slowestNanoseconds"`
	Slow    string        `json:"slowestCase"`
}

// job is a source with its request.
type job struct {
	source
	key      string
	width    int
	accept   string
	absolute bool // whether the origin is named in the url
}

// run asks for everything.
func (h *horror) run(t *testing.T) {
	jobs := make(chan job)
	var clients sync.WaitGroup
	for range horrorClients {
		clients.Go(func() {
			for j := range jobs {
				if !h.s.Alive() {
					continue // and the test fails for it
				}
				h.one(t, j)
			}
		})
	}
	number := 0
	send := func(s source, share int) {
		number++
		if chosen(s) && (full() || kept(number, share)) {
			width, accept := draw(number)
			jobs <- job{s, strconv.Itoa(number), width, accept, number%2 == 0}
		}
	}
	hostile(t, func(s source) {
		number++
		if !chosen(s) {
			return
		}
		width, _ := draw(number)
		for i, accept := range accepts {
			jobs <- job{s, fmt.Sprintf("%d-%d", number, i), width, accept, i > 0}
		}
	})
	mutants(t, func(s source) {
		send(s, map[string]int{"truncated": cutsShare, "flipped": flipsShare, "spliced": splicesShare}[s.group])
	})
	close(jobs)
	clients.Wait()
}

// one asks for a source and counts what comes back.
func (h *horror) one(t *testing.T, j job) {
	asked := time.Now()
	k, err := h.ask(j.source, j.width, j.accept, j.key, j.absolute)
	took := time.Since(asked)
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groups[j.group]
	if g == nil {
		g = &tally{Answers: map[kind]int{}}
		h.groups[j.group] = g
	}
	g.Answers[k]++
	if took > g.Slowest {
		g.Slowest, g.Slow = took, j.name
	}
	if err == nil {
		return
	}
	if h.bad++; h.bad <= 50 {
		t.Errorf("%v, w=%d, Accept %q: %v%s", j.source, j.width, j.accept, err, keepSource(j.source))
	}
}

// keepSource writes a source that was answered wrongly into the folder STRESS_KEEP.
func keepSource(s source) string {
	dir := os.Getenv("STRESS_KEEP")
	if dir == "" {
		return " (STRESS_KEEP=folder keeps its bytes)"
	}
	file := filepath.Join(dir, s.name)
	if err := os.WriteFile(file, s.make(), 0o644); err != nil {
		return fmt.Sprintf(" (not kept: %v)", err)
	}
	return " (kept as " + file + ")"
}

// ask puts a source into the origin, asks for it and looks at the answer.
func (h *horror) ask(s source, width int, accept, key string, absolute bool) (kind, error) {
	b := s.make()
	h.o.put(key, served{body: b, coding: s.coding})
	defer h.o.drop(key)
	q := asked{name: s.name, source: b, width: width, accept: accept, allowSVG: true}
	href := "/" + key + "/" + s.name
	if absolute {
		href = "http://" + h.o.addr + href
	}
	if s.coding != "" && absolute { // of relative urls, as in Next, codings are not undone
		q.source, q.plain, q.upstreamFault = nil, s.plain, true
	}
	header := []string{}
	if accept != "" {
		header = []string{"Accept", accept}
	}
	a, err := ask(context.Background(), h.client, h.s.image(href, width), header...)
	if err != nil {
		return wrong, err
	}
	return q.verify(a)
}

// report prints the table.
func (h *horror) report(t *testing.T, before, after metrics, seen peaks, took time.Duration) {
	test := "horror"
	if group := os.Getenv("STRESS_GROUP"); group != "" {
		test += "-" + group // a part is not kept as if it were the whole
	}
	r := newReport(test)
	head := []string{"group", "requests"}
	for _, k := range kinds {
		head = append(head, string(k))
	}
	rows, all := [][]string{append(head, "slowest")}, &tally{Answers: map[kind]int{}}
	show := func(name string, g *tally) {
		total, cells := 0, []string{}
		for _, k := range kinds {
			total += g.Answers[k]
			cells = append(cells, strconv.Itoa(g.Answers[k]))
		}
		slow := g.Slowest.Round(time.Millisecond).String()
		if g.Slow != "" {
			slow += " " + g.Slow
		}
		rows = append(rows, append(append([]string{name, strconv.Itoa(total)}, cells...), slow))
	}
	names := []string{}
	for name, g := range h.groups {
		names = append(names, name)
		for k, n := range g.Answers {
			all.Answers[k] += n
		}
		if g.Slowest > all.Slowest {
			all.Slowest = g.Slowest
		}
	}
	slices.Sort(names)
	for _, name := range names {
		show(name, h.groups[name])
	}
	show("all", all)
	total := 0
	for _, n := range all.Answers {
		total += n
	}
	r.line("%d requests in %v, %.0f a second; %d wrong answers.", total, took.Round(time.Second), float64(total)/took.Seconds(), h.bad)
	r.table(rows)
	codecs := map[string]float64{}
	codecRows := [][]string{{"codec processes", "count"}}
	count := func(what, series string, labels ...string) {
		codecs[what] = after.sum(series, labels...) - before.sum(series, labels...)
		codecRows = append(codecRows, []string{what, strconv.FormatFloat(codecs[what], 'f', 0, 64)})
	}
	for _, outcome := range []string{"encoded", "failed", "timeout", "crashed", "canceled", "refused"} {
		count("jobs "+outcome, "imgopt_codec_jobs_total", `outcome="`+outcome+`"`)
	}
	for _, reason := range []string{"lost", "worn"} {
		count("processes replaced: "+reason, "imgopt_codec_replaced_total", `reason="`+reason+`"`)
	}
	r.table(codecRows)
	r.table(small.rows(seen, horrorClients))
	r.Limits, r.Values = small, map[string]any{"groups": h.groups, "codecs": codecs, "peaks": seen, "seconds": took.Seconds(), "perSecond": float64(total) / took.Seconds()}
	r.finish(t)
}
