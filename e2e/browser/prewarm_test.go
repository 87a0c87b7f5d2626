//go:build e2e

package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"imgopt/testkit/child"
)

// TestPrewarm warms everything through nginx, as the README says, and then visits the pages with browsers that take
// AVIF, WebP and neither, on both screens: every image is there already.
func TestPrewarm(t *testing.T) {
	t.Parallel()
	browser := startChromium(t)
	s := startSite(t, "plain", "")
	p := with(t, s)
	// The build tells of all pages but the one that is rendered for each request, a crawl of them all.
	built := prewarm(t, "--next-dir", s.dist, "--parts", "pages,media", "--target", "http://"+p.addr)
	crawled := prewarm(t, "--next-dir", s.dist, "--parts", "media", "--crawl", p.url("/"), "--target", "http://"+p.addr)
	if built.Warm == 0 || built.Made != built.Warm || crawled.Hit != built.Warm || crawled.Made == 0 || crawled.Warm != crawled.Hit+crawled.Made {
		t.Errorf("the build: %+v\nthe crawl: %+v", built, crawled)
	}
	seen := map[string]int{}
	for _, screen := range screens {
		for _, a := range []accept{avif, webp, neither} {
			tab := openTab(t, browser, screen, a)
			for _, v := range tab.mustTour(t, p, pages, false) {
				v.check(t)
				for _, x := range v.optimized() {
					seen[x.mime]++
					if state := header(x, "x-nextjs-cache"); state != "HIT" {
						t.Errorf("%s, %s: %s (%s) was not warm: %s", screen.name, a.name, x.url, x.mime, state)
					}
				}
			}
		}
	}
	for _, mime := range []string{"image/avif", "image/webp", "image/jpeg", "image/png", "image/gif"} {
		if seen[mime] == 0 {
			t.Errorf("the browsers were shown no %s", mime)
		}
	}
	t.Logf("%d variants warmed in %.1f s; then the browsers asked for %v", crawled.Warm, built.Seconds+crawled.Seconds, seen)
	if n := p.counter.optimized(); n != 0 {
		t.Errorf("%d requests for optimized images reached Next.js", n)
	}
}

// warming is what the report of `imgopt prewarm --json` says.
type warming struct {
	ExitCode, Warm, Made, Hit, Failed, Left int
	Seconds                                 float64
	Failures, Unread, Refused               []any
	Notes                                   []string
}

// prewarm runs `imgopt prewarm`, which must warm all that it finds.
func prewarm(t *testing.T, args ...string) (w warming) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), imgoptBinary(t), append([]string{"prewarm", "--json"}, args...)...)
	cmd.Env = []string{} // no IMGOPT_ variable
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	p, err := child.Start(cmd)
	if err == nil {
		err = p.Wait()
	}
	if bad := json.Unmarshal(stdout.Bytes(), &w); bad != nil {
		t.Fatalf("imgopt prewarm: %v; its report: %v\n%s\n%s", err, bad, stdout.Bytes(), stderr.Bytes())
	}
	if err != nil || w.ExitCode != 0 || w.Failed != 0 || w.Left != 0 || len(w.Failures)+len(w.Unread)+len(w.Refused) != 0 {
		t.Errorf("imgopt prewarm: %v, %+v\n%s", err, w, stderr.Bytes())
	}
	return w
}

// header returns a header of an answer.
func header(x *exchange, name string) string {
	for n, value := range x.header {
		if strings.EqualFold(n, name) {
			return fmt.Sprint(value)
		}
	}
	return ""
}
