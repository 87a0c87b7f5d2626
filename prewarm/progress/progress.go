// Package progress shows people how far a pre-warming is: a bar on a terminal, plain lines anywhere else.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"imgopt/prewarm"
)

// New returns what suits w: a bar if it is a terminal that can move its cursor, else lines.
func New(w io.Writer, environ func(string) string) Renderer {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || environ("TERM") == "dumb" {
		return NewLines(w)
	}
	return NewBar(w, environ("NO_COLOR") == "", func() int {
		columns, _, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 0
		}
		return columns
	})
}

// Renderer is a prewarm.Progress that has to be ended, so that what is written next begins on a line of its own.
type Renderer interface {
	prewarm.Progress
	Close()
}

// How often a bar is drawn at most, and how often a line is written.
const (
	drawEvery = 100 * time.Millisecond
	lineEvery = 5 * time.Second
)

// status is what both renderers say, the more important first: how far, how long, what went wrong, and the rest.
func status(phase prewarm.Phase, total int, t prewarm.Tally) []string {
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if total > 0 {
		say("%d/%d", t.Done, total)
	} else {
		say("pages %d, requests and sources %d", t.Done, t.Found)
	}
	perSecond, left := pace(total, t)
	if left > 0 {
		say("%s left", prewarm.Span(left))
	}
	if t.Failed > 0 {
		say("%d%s", t.Failed, failed)
	}
	if perSecond > 0 && total > 0 {
		say("%.1f/s", perSecond)
	}
	if phase == prewarm.Warming && t.Bytes > 0 {
		say("%s", prewarm.Size(t.Bytes))
	}
	if phase == prewarm.Warming && t.Saved > 0 {
		say("saved %s", prewarm.Size(t.Saved))
	}
	if t.Resumed > 0 {
		say("%d done earlier", t.Resumed)
	}
	return parts
}

// failed ends the part that tells of failures.
const failed = " failed"

// pace is the number of steps a second and the time that is left at that pace; zero if neither can be told yet. What an
// earlier run has done took no time of this one.
func pace(total int, t prewarm.Tally) (perSecond float64, left time.Duration) {
	done := t.Done - t.Resumed
	if done <= 0 || t.Elapsed <= 0 {
		return 0, 0
	}
	perSecond = float64(done) / t.Elapsed.Seconds()
	if ahead := total - t.Done; ahead > 0 {
		left = time.Duration(float64(ahead) / perSecond * float64(time.Second))
	}
	return perSecond, left
}

// Lines is a Renderer for files and pipes: a line when a phase begins, every few seconds, when it is complete, and for
// every note.
type Lines struct {
	w     io.Writer
	phase prewarm.Phase
	total int
	last  prewarm.Tally
	said  time.Duration // of Elapsed, when the last line was written
	whole bool          // the line of the completed phase was written
}

// NewLines writes to w. What cannot be written is not: progress is not worth an error.
func NewLines(w io.Writer) *Lines { return &Lines{w: w} }

// Begin says what is being done.
func (l *Lines) Begin(phase prewarm.Phase, total int) {
	l.finish()
	l.phase, l.total, l.said, l.whole, l.last = phase, total, 0, false, prewarm.Tally{}
	if total > 0 {
		fmt.Fprintf(l.w, "prewarm: %s: %d\n", phase, total)
	} else {
		fmt.Fprintf(l.w, "prewarm: %s\n", phase)
	}
}

// Step writes a line if it is time for one.
func (l *Lines) Step(t prewarm.Tally) {
	l.last = t
	complete := l.total > 0 && t.Done >= l.total
	if complete || t.Elapsed-l.said >= lineEvery {
		l.line()
	}
	l.whole = l.whole || complete
}

func (l *Lines) line() {
	if l.whole {
		return
	}
	t := l.last
	l.said = t.Elapsed
	parts := status(l.phase, l.total, t)
	if l.total > 0 {
		parts[0] += fmt.Sprintf(" (%d %%)", 100*t.Done/l.total)
	}
	fmt.Fprintf(l.w, "prewarm: %s: %s\n", l.phase, strings.Join(parts, ", "))
}

// finish writes how a phase without a known total ended.
func (l *Lines) finish() {
	if l.phase != "" && l.total == 0 && l.last.Done+l.last.Found > 0 {
		l.line()
	}
}

// Note writes a line.
func (l *Lines) Note(text string) { fmt.Fprintf(l.w, "prewarm: %s\n", text) }

// Close writes the last line.
func (l *Lines) Close() {
	l.finish()
	l.phase = ""
}

// Bar is a Renderer for terminals: a bar for every phase, notes above it.
type Bar struct {
	w       io.Writer
	color   bool
	columns func() int // the terminal's width, 0 if it is not known
	bar     *progressbar.ProgressBar
	phase   prewarm.Phase
	total   int
	last    prewarm.Tally
	drawn   time.Time
}

// NewBar draws on w, with colors if color. columns returns the width of the terminal, which may change; 0 if it is not
// known.
func NewBar(w io.Writer, color bool, columns func() int) *Bar {
	return &Bar{w: w, color: color, columns: columns}
}

// Begin starts a new bar below the last one.
func (b *Bar) Begin(phase prewarm.Phase, total int) {
	b.Close()
	b.phase, b.total, b.last, b.drawn = phase, total, prewarm.Tally{}, time.Time{}
	theme := progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}
	if b.color {
		theme.BarStart, theme.BarEnd = "[green]", "[reset]"
	}
	length := total
	if total == 0 {
		length = -1 // a spinner
	}
	// The library's own rate and time left would count what an earlier run has done; they are in the description. Without
	// an interval the spinner needs no goroutine: it turns when it is drawn.
	b.bar = progressbar.NewOptions(length,
		progressbar.OptionSetSpinnerChangeInterval(0),
		progressbar.OptionSetWriter(b.w),
		progressbar.OptionEnableColorCodes(b.color),
		progressbar.OptionSetTheme(theme),
		progressbar.OptionSetWidth(24),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionUseANSICodes(true),
	)
	b.draw()
}

// Step draws the bar, unless that was done just now.
func (b *Bar) Step(t prewarm.Tally) {
	b.last = t
	if time.Since(b.drawn) >= drawEvery || b.total > 0 && t.Done >= b.total {
		b.draw()
	}
}

func (b *Bar) draw() {
	if b.bar == nil {
		return
	}
	b.drawn = time.Now()
	b.bar.Describe(b.describe())
	if b.total > 0 {
		// A terminal that takes nothing more is no reason to stop.
		_ = b.bar.Set(min(b.last.Done, b.total))
	}
}

// describe is the text behind the bar. A line that is longer than the terminal is wide would stay there for ever, one for
// each time it is drawn: what does not fit is left out.
func (b *Bar) describe() string {
	parts := status(b.phase, b.total, b.last)
	parts[0] = string(b.phase) + " " + parts[0]
	for columns := b.columns(); columns > 0 && len(parts) > 1 && len(strings.Join(parts, ", ")) > columns-around; {
		parts = parts[:len(parts)-1]
	}
	for i, p := range parts {
		if b.color && strings.HasSuffix(p, failed) {
			parts[i] = "[red]" + p + "[reset]"
		}
	}
	return strings.Join(parts, ", ")
}

// around is the room for what surrounds the text: the percentage, spaces, and some bar.
const around = len(" 100%   ") + 8

// Note writes a line above the bar.
func (b *Bar) Note(text string) {
	if b.bar == nil {
		fmt.Fprintln(b.w, text)
		return
	}
	_ = b.bar.Clear()
	fmt.Fprintln(b.w, text)
	b.draw()
}

// Close leaves the bar as it is and goes to the next line.
func (b *Bar) Close() {
	if b.bar == nil {
		return
	}
	b.draw()
	b.bar = nil
	fmt.Fprintln(b.w)
}
