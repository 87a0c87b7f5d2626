//go:build e2e

package browser

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image/gif"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// shown is an img element of a page that was looked at from top to bottom.
type shown struct {
	Alt, Src      string // Src is the one of the srcset that was chosen
	Width, Height int    // of the decoded picture, in its own pixels
	Complete      bool
	Error         string // why it could not be decoded
}

// visit is a page that was loaded and looked at from top to bottom.
type visit struct {
	page      string
	images    []shown
	exchanges []*exchange
	late      int // how many of them are images that were asked for when they came near
	messages  []string
	bodies    map[string][sha256.Size]byte // of images that were sent, by path and query
	frames    map[string]int               // of those that are gif
	picture   []byte                       // a PNG of the whole page
}

// look shows every image of the page the way a reader comes to it, then goes back to the top. Placeholders are behind
// images until React hears of their end.
const look = `(async () => { ` + frame + `
  const seen = []
  for (const img of document.images) {
    img.scrollIntoView({block: 'center'})
    let error = ''
    try { await img.decode() } catch (e) { error = String(e) }
    seen.push({Alt: img.alt, Src: img.currentSrc, Width: img.naturalWidth, Height: img.naturalHeight, Complete: img.complete, Error: error})
  }
  window.scrollTo(0, 0)
  for (let n = 0; n < 300 && [...document.images].some(img => img.style.backgroundImage); n++) await frame()
  for (const img of document.images) if (img.style.backgroundImage) console.error('still shows its placeholder: ' + img.alt)
  await frame()
  await frame()
  return seen
})()`

// frame is JavaScript's wait for the next picture of the screen.
const frame = `const frame = () => new Promise(requestAnimationFrame);`

// open loads a page in a tab and looks at it; picture says whether to take one.
func (tab *tab) open(url string, picture bool) (*visit, error) {
	v := &visit{bodies: map[string][sha256.Size]byte{}, frames: map[string]int{}}
	if err := tab.do(chromedp.Navigate(url)); err != nil {
		return nil, fmt.Errorf("load %s: %w", url, err)
	}
	// What is near the window is asked for when the first pictures of the page are painted, which may be after its end.
	if _, err := evaluate[bool](tab, `(async () => { `+frame+` await frame(); await frame(); return true })()`); err != nil {
		return nil, fmt.Errorf("wait for %s: %w", url, err)
	}
	early, said, err := tab.settle(tab.ctx)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", url, err)
	}
	if v.images, err = evaluate[[]shown](tab, look); err != nil {
		return nil, fmt.Errorf("look at %s: %w", url, err)
	}
	late, more, err := tab.settle(tab.ctx)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", url, err)
	}
	v.exchanges, v.messages = append(early, late...), append(said, more...)
	for _, x := range late {
		if isImage(x.url) {
			v.late++
		}
	}
	for _, x := range v.exchanges {
		if isImage(x.url) && x.status == 200 && !x.cached {
			body, err := tab.body(x)
			if err != nil {
				return nil, err
			}
			v.bodies[target(x.url)] = sha256.Sum256(body)
			if moving, err := gif.DecodeAll(bytes.NewReader(body)); err == nil {
				v.frames[target(x.url)] = len(moving.Image)
			}
		}
	}
	if picture {
		if v.picture, err = tab.screenshot(); err != nil {
			return nil, fmt.Errorf("a picture of %s: %w", url, err)
		}
	}
	return v, nil
}

// screenshot takes pictures of the whole page until two in a row are the same: a page that is still painted, on a
// machine with other things to do, is no result.
func (tab *tab) screenshot() ([]byte, error) {
	size, err := evaluate[[]float64](tab, `[document.documentElement.clientWidth, document.documentElement.scrollHeight]`)
	if err != nil {
		return nil, err
	}
	take := func() ([]byte, error) {
		res, err := chromedp.Call(tab.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
			Format:                page.CaptureScreenshotFormatPng,
			CaptureBeyondViewport: pointer(true),
			OptimizeForSpeed:      pointer(true),
			Clip:                  &page.Viewport{Width: size[0], Height: size[1], Scale: 1},
		})
		return res.Data, err
	}
	last, err := take()
	for n := 0; err == nil && n < 10; n++ {
		var again []byte
		if again, err = take(); err == nil && bytes.Equal(last, again) {
			return again, nil
		}
		last = again
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("no two of eleven are the same")
}

// target is the path and query of a url.
func target(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		return rest[slash:]
	}
	return "/"
}

// optimized are the requests of a visit for the image endpoint that were sent.
func (v *visit) optimized() []*exchange {
	return slices.DeleteFunc(slices.Clone(v.exchanges), func(x *exchange) bool { return !isImage(x.url) || x.cached })
}

// flaws lists everything that a person, or the person's browser, would complain about.
func (v *visit) flaws() (flaws []string) {
	complain := func(format string, args ...any) { flaws = append(flaws, fmt.Sprintf(format, args...)) }
	for _, message := range v.messages {
		complain("the console says: %s", message)
	}
	for _, i := range v.images {
		if i.Error != "" || !i.Complete || i.Width < 1 || i.Height < 1 {
			complain("the image %q is not shown: %+v", i.Alt, i)
		}
	}
	sent := map[string]int{}
	for _, x := range v.exchanges {
		switch {
		case x.failed != "":
			complain("%s failed: %s", x.url, x.failed)
		case x.status != 200 && x.status != 304:
			complain("%s: status %d", x.url, x.status)
		}
		if isImage(x.url) && !x.cached {
			if sent[x.url]++; sent[x.url] == 2 {
				complain("%s was asked for more than once by one page", x.url)
			}
		}
	}
	return flaws
}

// check fails the test with the flaws of a visit.
func (v *visit) check(t testing.TB) {
	t.Helper()
	if len(v.images) == 0 {
		t.Errorf("%s shows no image", v.page)
	}
	for _, flaw := range v.flaws() {
		t.Errorf("%s: %s", v.page, flaw)
	}
}

// tour visits pages one after the other.
func (tab *tab) tour(p *place, pages []string, picture bool) (visits []*visit, err error) {
	for _, page := range pages {
		v, err := tab.open(p.url(page), picture)
		if err != nil {
			return nil, err
		}
		v.page = page
		visits = append(visits, v)
	}
	return visits, nil
}

// mustTour is tour without an error.
func (tab *tab) mustTour(t testing.TB, p *place, pages []string, picture bool) []*visit {
	t.Helper()
	visits, err := tab.tour(p, pages, picture)
	if err != nil {
		t.Fatal(err)
	}
	return visits
}
