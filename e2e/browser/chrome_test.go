//go:build e2e

package browser

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// startChromium starts a browser that ends with the test; the result is the context of tabs.
func startChromium(t testing.TB) context.Context {
	t.Helper()
	var printed lockedBuffer
	options := append(chromedp.DefaultExecAllocatorOptions[:], // headless, --disable-dev-shm-usage
		chromedp.ExecPath(need(t, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")),
		chromedp.CombinedOutput(&printed),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("no-sandbox", true), // root, and many containers, cannot have one; all pages are our own
		// How early lazy images are loaded depends on how fast the network seems: not on this machine's other work.
		chromedp.Flag("force-effective-connection-type", "4G"),
		// Screenshots of the same page have to be the same: no picture is painted before it is decoded, and animations
		// show their first frame.
		chromedp.Flag("disable-checker-imaging", true),
		chromedp.Flag("disable-threaded-animation", true),
		chromedp.Flag("disable-lcd-text", true),
		chromedp.Flag("font-render-hinting", "none"),
		chromedp.Flag("blink-settings", "imageAnimationPolicy=2"),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		cancel()
		stop() // waits until it has ended
		if t.Failed() {
			out := printed.String()
			t.Logf("Chromium printed:\n%s", out[max(0, len(out)-800):])
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v\n%s", err, printed.String())
	}
	return ctx
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// screen is a window and its screen.
type screen struct {
	name          string
	width, height int64   // CSS pixels
	ratio         float64 // device pixels for one of them
	mobile        bool
}

var screens = []screen{
	{name: "desktop", width: 1280, height: 800, ratio: 1},
	{name: "phone", width: 390, height: 844, ratio: 2, mobile: true},
}

// accept is what a browser says it can show. "" leaves Chromium's own, with AVIF and WebP.
type accept struct{ name, header string }

var (
	avif    = accept{name: "avif"}
	webp    = accept{"webp", "image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}
	neither = accept{"neither", "image/apng,image/svg+xml,image/*,*/*;q=0.8"}
)

// tab is a tab with a profile of its own: empty caches, and a record of all that happens in it.
type tab struct {
	ctx context.Context
	*watcher
}

func openTab(t testing.TB, browser context.Context, s screen, a accept) *tab {
	t.Helper()
	w := newWatcher()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(w.event))
	var intercepts sync.WaitGroup
	t.Cleanup(func() {
		// A tab that is closed loses its screen first, and a page that is still open asks for other images then.
		if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
			t.Errorf("leave the page: %v", err)
		}
		cancel()
		intercepts.Wait()
	})
	emulate := []chromedp.EmulateViewportOption{chromedp.EmulateScale(s.ratio)}
	if s.mobile {
		emulate = append(emulate, chromedp.EmulatePortrait, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	err := chromedp.Do(ctx,
		chromedp.EmulateViewport(s.width, s.height, emulate...),
		command(audits.Enable, cdp.Empty{}),
		command(network.Enable, network.EnableParams{
			MaxTotalBufferSize: pointer[int64](64 << 20), MaxResourceBufferSize: pointer[int64](16 << 20),
		}),
	)
	if err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	if a.header != "" {
		paused := chromedp.Events(ctx, fetch.RequestPaused)
		intercepts.Go(func() {
			for event, err := range paused {
				if err != nil {
					return // the tab is closed
				}
				headers := []*fetch.HeaderEntry{{Name: "Accept", Value: a.header}}
				for name, value := range event.Request.Headers {
					if !strings.EqualFold(name, "accept") {
						headers = append(headers, &fetch.HeaderEntry{Name: name, Value: fmt.Sprint(value)})
					}
				}
				_, err := chromedp.Call(ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: event.RequestID, Headers: headers})
				if err != nil && ctx.Err() == nil {
					w.say("intercept " + event.Request.URL + ": " + err.Error())
				}
			}
		})
		err := chromedp.Do(ctx, command(fetch.Enable, fetch.EnableParams{
			Patterns: []*fetch.RequestPattern{{URLPattern: "*", ResourceType: network.ResourceTypeImage}},
		}))
		if err != nil {
			t.Fatalf("intercept requests: %v", err)
		}
	}
	return &tab{ctx: ctx, watcher: w}
}

func pointer[T any](v T) *T { return &v }

// command is an action that sends a command without an interesting answer.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	})
}

// exchange is a request of the browser and what came of it.
type exchange struct {
	id          network.RequestID
	url, kind   string
	accept      string // as it was sent; "" if nothing was
	status      int64  // on the wire: 304 where the page sees 200
	mime        string
	header      network.Headers
	cached      bool // nothing was sent
	failed      string
	done, extra bool // complete; the extra information is here
	preload     bool // by a link of the page, before any img element asked
	wantsExtra  bool
}

// watcher records what happens in a tab.
type watcher struct {
	mu        sync.Mutex
	exchanges []*exchange
	byID      map[network.RequestID]*exchange
	messages  []string
	changed   chan struct{} // closed, and replaced, at each change
}

func newWatcher() *watcher {
	return &watcher{byID: map[network.RequestID]*exchange{}, changed: make(chan struct{})}
}

// say records what a person would see in the browser's console.
func (w *watcher) say(message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.messages = append(w.messages, message)
}

// of returns the exchange with that id. Of a redirected request it is the last one.
func (w *watcher) of(id network.RequestID) *exchange {
	x := w.byID[id]
	if x == nil { // extra information may come first
		x = &exchange{id: id}
		w.byID[id] = x
	}
	return x
}

// event is called for each event of the tab, one after the other.
func (w *watcher) event(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if strings.HasPrefix(e.Request.URL, "data:") {
			return
		}
		if r := e.RedirectResponse; r != nil {
			old := w.of(e.RequestID)
			old.status, old.done, old.extra = r.Status, true, true
			delete(w.byID, e.RequestID)
		}
		x := w.of(e.RequestID)
		x.url, x.kind, x.preload = e.Request.URL, string(e.Type), e.Request.IsLinkPreload
		w.exchanges = append(w.exchanges, x)
	case *network.EventRequestWillBeSentExtraInfo:
		for name, value := range e.Headers {
			if strings.EqualFold(name, "accept") {
				w.of(e.RequestID).accept = fmt.Sprint(value)
			}
		}
	case *network.EventRequestServedFromCache: // from the memory of the page's process
		x := w.of(e.RequestID)
		x.cached = true
	case *network.EventResponseReceived:
		x := w.of(e.RequestID)
		x.mime, x.wantsExtra = e.Response.MimeType, e.HasExtraInfo
		if !x.extra {
			x.status, x.header = e.Response.Status, e.Response.Headers
		}
		if e.Response.FromDiskCache {
			x.cached = true
		}
	case *network.EventResponseReceivedExtraInfo:
		x := w.of(e.RequestID)
		x.status, x.header, x.extra = e.StatusCode, e.Headers, true
	case *network.EventLoadingFinished:
		x := w.of(e.RequestID)
		x.done = true
	case *network.EventLoadingFailed:
		x := w.of(e.RequestID)
		x.done, x.wantsExtra, x.failed = true, false, e.ErrorText
		if e.BlockedReason != "" {
			x.failed += " (" + string(e.BlockedReason) + ")"
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			w.messages = append(w.messages, fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
		return
	case *runtime.EventConsoleAPICalled:
		switch e.Type {
		case runtime.ConsoleAPICalledTypeError, runtime.ConsoleAPICalledTypeWarning, runtime.ConsoleAPICalledTypeAssert:
			text := "console." + string(e.Type)
			for _, arg := range e.Args {
				text += " " + string(arg.Value) + arg.Description
			}
			w.messages = append(w.messages, text)
		}
		return
	case *runtime.EventExceptionThrown:
		text := "exception: " + e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		w.messages = append(w.messages, text)
		return
	case *audits.EventIssueAdded:
		if v := e.Issue.Details.ContentSecurityPolicyIssueDetails; v != nil {
			w.messages = append(w.messages, fmt.Sprintf("violates the content security policy: %s %s", v.ViolatedDirective, v.BlockedURL))
		}
		return
	default:
		return
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// settle waits until every request has its answer, and returns and forgets what happened since the last call.
func (w *watcher) settle(ctx context.Context) ([]*exchange, []string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		w.mu.Lock()
		pending := ""
		for _, x := range w.exchanges {
			if !x.done || x.wantsExtra && !x.extra && !x.cached {
				pending = x.url
			}
		}
		if pending == "" {
			exchanges, messages := w.exchanges, w.messages
			w.exchanges, w.messages = nil, nil
			w.mu.Unlock()
			return exchanges, messages, nil
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("waiting for %s: %w", pending, ctx.Err())
		}
	}
}

// body returns what the browser got for a request.
func (tab *tab) body(x *exchange) ([]byte, error) {
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	res, err := chromedp.Call(ctx, network.GetResponseBody, network.GetResponseBodyParams{RequestID: x.id})
	if err != nil {
		return nil, fmt.Errorf("the body of %s: %w", x.url, err)
	}
	return res.Body, nil
}

// do runs actions within a time limit.
func (tab *tab) do(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

// evaluate runs JavaScript in the page and waits for its promise.
func evaluate[T any](tab *tab, script string) (T, error) {
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}
