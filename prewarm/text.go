package prewarm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// oneLine makes text from elsewhere fit for one line of a terminal: without line breaks, without control sequences.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// shorten cuts a text in its middle if it is longer than n characters.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	head := (n - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(n-1-head):])
}

// Size renders a number of bytes with three digits: "812 B", "12.3 KiB".
func Size(bytes int64) string {
	if bytes < 0 {
		return "-" + Size(-bytes)
	}
	if bytes < 1024 {
		return strconv.FormatInt(bytes, 10) + " B"
	}
	v, unit := float64(bytes)/1024, 0
	for v >= 1000 && unit < len(sizeUnits)-1 {
		v, unit = v/1024, unit+1
	}
	switch {
	case v >= 99.95:
		return fmt.Sprintf("%.0f %s", v, sizeUnits[unit])
	case v >= 9.995:
		return fmt.Sprintf("%.1f %s", v, sizeUnits[unit])
	}
	return fmt.Sprintf("%.2f %s", v, sizeUnits[unit])
}

var sizeUnits = []string{"KiB", "MiB", "GiB", "TiB", "PiB"}

// Span renders a duration as people read it: "310ms", "3.10s", "12.4s", "3m05s", "2h04m".
func Span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Round(time.Millisecond).Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		s := int(d.Round(time.Second).Seconds())
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	m := int(d.Round(time.Minute).Minutes())
	return fmt.Sprintf("%dh%02dm", m/60, m%60)
}

// plural joins a number and a noun: "1 page", "2 pages".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
