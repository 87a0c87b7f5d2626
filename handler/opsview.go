package handler

import (
	"context"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"
)

// opsView is what the page shows.
type opsView struct {
	Root, Title       string
	Icon              template.URL
	Style             template.CSS
	Script            template.JS
	Instance, Version string
	Uptime            string
	Now, Clock        string
	Demo, Pprof       bool

	Notice           *notice
	State, StateText string
	Checks           []opsCheck
	QueueProblem     *notice
	Queue            *opsQueue
	CanPurge         bool
	URL, Prefix      string // of a purge that did not work
	CanReload        bool
}

type opsCheck struct{ State, Name, Text string }

type opsQueue struct {
	Type, Version string
	Classes       []opsClass
	Leased        int
	Workers       []opsWorker
	Others        []opsVersion
	DeadTotal     int
	Dead          []opsDead
	More          string
}

type opsClass struct {
	Name, Note                string
	Queued, Delayed, HeldBack int
	Oldest                    string
	Late                      bool
}

type opsWorker struct {
	ID, Version, Problem, Seen string
}

type opsVersion struct {
	Version, Problem     string
	Queued, Leased, Dead int
}

type opsDead struct {
	ID, At, Ago, Attempts string
	Href, Variant         string
	Status                int
	Reason, Text, Cause   string
}

const (
	// opsLate is how old the oldest job that people wait for may be; the alert ImgoptQueueAge has the same limit.
	opsLate = 5 * time.Second
	// opsSilent is after which time a worker should have been heard of again.
	opsSilent = 30 * time.Second
	// opsDeadMax is how many dead letters are shown.
	opsDeadMax = 50
)

func (o *ops) view(now time.Time) *opsView {
	v := &opsView{
		Style: o.style, Script: o.script, Instance: o.instance, Version: o.version,
		Uptime: span(now.Sub(o.started)), Now: now.UTC().Format(time.RFC3339), Clock: now.UTC().Format(time.TimeOnly),
		Demo: o.demo, Pprof: o.pprof, CanPurge: o.purger != nil, CanReload: o.reloader != nil,
	}
	v.setState(o.ready.Results(context.Background()), o.ready.Draining())
	r, problem := o.askQueue()
	v.QueueProblem = problem
	if r != nil {
		v.Queue = queueView(r, now)
		if !hasWorker(r, r.Version) {
			v.QueueProblem = &notice{"bad", "No worker of this version was heard of: nobody takes the jobs that this replica enqueues."}
		}
	}
	title := v.StateText
	if o.instance != "" {
		title += " · " + o.instance
	}
	v.Title = title + " · imgopt"
	return v
}

func (v *opsView) setState(results []CheckResult, draining bool) {
	v.State, v.StateText = "ok", "Ready"
	failing, degraded := 0, 0
	if draining {
		v.Checks = append(v.Checks, opsCheck{"failing", failureDraining.Name, failureDraining.Error})
		failing++
	}
	for _, r := range results {
		c := opsCheck{"ok", r.Name, r.Error}
		switch {
		case r.Error == "":
		case r.Optional:
			c.State = "degraded"
			degraded++
		default:
			c.State = "failing"
			failing++
		}
		v.Checks = append(v.Checks, c)
	}
	switch {
	case failing > 0:
		v.State, v.StateText = "failing", "Not ready"
	case degraded > 0:
		v.State, v.StateText = "degraded", "Ready, degraded"
	}
	colour := map[string]string{"ok": "#12805c", "degraded": "#d98a1c", "failing": "#d0342c"}[v.State]
	v.Icon = template.URL("data:image/svg+xml," + url.PathEscape(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="`+colour+`"/></svg>`))
}

// hasWorker reports whether somebody does the jobs of a version.
func hasWorker(r *QueueReport, version string) bool {
	return slices.ContainsFunc(r.Workers, func(w WorkerReport) bool { return w.Version == version })
}

func queueView(r *QueueReport, now time.Time) *opsQueue {
	q := &opsQueue{Type: r.Type, Version: r.Version, Leased: r.Leased, DeadTotal: max(r.DeadTotal, len(r.Dead))}
	for _, c := range []struct {
		name, note string
		ClassReport
		limit time.Duration
	}{
		{"interactive", "people wait", r.Interactive, opsLate},
		{"background", "pre-warming, revalidation", r.Background, 0},
	} {
		oldest := seconds(c.OldestSeconds)
		view := opsClass{Name: c.name, Note: c.note, Queued: c.Queued, Delayed: c.Delayed, HeldBack: c.HeldBack, Oldest: "–",
			Late: c.limit > 0 && oldest > c.limit}
		if c.Queued > 0 {
			view.Oldest = span(oldest)
		}
		q.Classes = append(q.Classes, view)
	}
	for _, w := range r.Workers {
		seen := seconds(w.SeenSeconds)
		view := opsWorker{ID: w.ID, Version: w.Version, Seen: span(seen) + " ago"}
		switch {
		case seen > opsSilent:
			view.Problem = "silent"
		case w.Version != r.Version:
			view.Problem = "another version"
		}
		q.Workers = append(q.Workers, view)
	}
	for _, o := range r.Others {
		view := opsVersion{Version: o.Version, Queued: o.Interactive.Queued + o.Background.Queued, Leased: o.Leased, Dead: o.DeadTotal}
		if view.Queued > 0 && !hasWorker(r, o.Version) {
			view.Problem = "no worker"
		}
		q.Others = append(q.Others, view)
	}
	for i, d := range r.Dead {
		if i == opsDeadMax {
			break
		}
		q.Dead = append(q.Dead, deadView(d, now))
	}
	if n := q.DeadTotal - len(q.Dead); n > 0 {
		q.More = fmt.Sprintf("And %d more, older ones.", n)
	}
	return q
}

func deadView(d DeadLetter, now time.Time) opsDead {
	variant := fmt.Sprintf("%d px · quality %d", d.Width, d.Quality)
	if d.Format != "" {
		variant += " · " + strings.TrimPrefix(d.Format, "image/")
	}
	return opsDead{
		ID: d.ID, At: d.At.UTC().Format(time.RFC3339), Ago: span(now.Sub(d.At)) + " ago", Attempts: plural(d.Attempts, "attempt"),
		Href: loggable(d.Href), Variant: variant,
		Status: d.Status, Reason: d.Reason, Text: loggable(d.Text), Cause: loggable(d.Cause),
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// span writes a duration for people: two units at most.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
	}
}
