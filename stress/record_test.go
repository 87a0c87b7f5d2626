//go:build e2e

package stress

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// full is STRESS_FULL=1: the whole corpus and the long runs.
func full() bool { return os.Getenv("STRESS_FULL") == "1" }

// report is what a test measured: printed always, kept with STRESS_RECORD=1.
type report struct {
	Test   string    `json:"test"`
	When   time.Time `json:"when"`
	CPUs   int       `json:"cpus"`
	Full   bool      `json:"full"`
	Limits any       `json:"limits,omitempty"`
	Values any       `json:"values"`

	text strings.Builder
}

func newReport(test string) *report {
	return &report{Test: test, When: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU(), Full: full()}
}

// line adds a paragraph.
func (r *report) line(format string, args ...any) { fmt.Fprintf(&r.text, format+"\n\n", args...) }

// table adds a table; the first row is its head.
func (r *report) table(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(&r.text, "| %s%s ", cell, strings.Repeat(" ", widths[i]-len([]rune(cell))))
		}
		r.text.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				fmt.Fprintf(&r.text, "|%s", strings.Repeat("-", w+2))
			}
			r.text.WriteString("|\n")
		}
	}
	r.text.WriteString("\n")
}

// finish prints the report and, with STRESS_RECORD=1, writes results/NAME.json and NAME.md.
func (r *report) finish(t testing.TB) {
	t.Helper()
	t.Logf("\n\n%s", r.text.String())
	if os.Getenv("STRESS_RECORD") != "1" {
		return
	}
	if t.Failed() {
		t.Log("not recorded, because the test has failed")
		return
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.MkdirAll("results", 0o755)
	}
	head := fmt.Sprintf("%s, %d CPUs, %s.\n\n", r.When.Format(time.RFC3339), r.CPUs, runtime.Version())
	for name, content := range map[string][]byte{r.Test + ".json": append(data, '\n'), r.Test + ".md": []byte(head + strings.TrimSpace(r.text.String()) + "\n")} {
		if err == nil {
			err = os.WriteFile(filepath.Join("results", name), content, 0o644)
		}
	}
	if err != nil {
		t.Errorf("recording: %v", err)
	}
}

// mibs shows a number of bytes.
func mibs(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/mib) }

// ms shows a time.
func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }

// quantile of values, sorted or not; 0 of none.
func quantile[T cmp.Ordered](values []T, q float64) T {
	if len(values) == 0 {
		var none T
		return none
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
