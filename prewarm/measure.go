package prewarm

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// measure asks for the sizes of the sources that are not known: their hosts for absolute ones, the page's own origin
// for relative ones. An answer that does not tell is no failure; the size stays unknown.
func (f *Found) measure(ctx context.Context, w *web, concurrency int) {
	urls := f.unmeasured()
	f.progress.Begin(Measuring, len(urls))
	began := time.Now()
	var mu sync.Mutex // guards tally, sizes and progress
	var tally Tally
	var g errgroup.Group
	g.SetLimit(concurrency)
	for _, url := range urls {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			size := f.sizeOf(ctx, w, url)
			mu.Lock()
			defer mu.Unlock()
			if tally.Done++; size > 0 {
				f.sizes[url] = size
			} else {
				tally.Failed++
			}
			tally.Elapsed = time.Since(began)
			f.progress.Step(tally)
			return nil
		})
	}
	_ = g.Wait() // the functions return none
}

// sizeOf asks once: a wrong guess costs nothing but a number in a table.
func (f *Found) sizeOf(ctx context.Context, w *web, url string) int64 {
	if w.limiter.Wait(ctx) != nil {
		return 0
	}
	// The command line's headers are meant for the site, not for the hosts of its sources.
	header := http.Header{}
	if strings.HasPrefix(url, "/") {
		url, header = f.homes[url]+url, w.header
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	resp, failure := (&web{client: w.client, header: header}).do(ctx, http.MethodHead, url, "*/*")
	if failure != nil {
		return 0
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0
	}
	return max(0, resp.ContentLength)
}
