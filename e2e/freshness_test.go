//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// freshnessGroups test MISS, HIT and STALE as time passes. The variant tiny has a minimumCacheTTL of 2 s.
func freshnessGroups() []group {
	return []group{
		{name: "freshness", variant: "tiny", apart: true, run: freshness},
		{name: "freshness without ttl", variant: "tuned", apart: true, run: withoutTTL},
	}
}

// scene is one image whose upstream changes with time. Its steps run on both sides at once.
type scene struct {
	*session
	name   string
	target string
	reply  atomic.Pointer[Reply]
	step   int
}

// newScene starts with an upstream that answers r.
func (s *session) newScene(name string, r Reply) *scene {
	sc := &scene{session: s, name: name}
	sc.now(r)
	sc.target = s.image(s.serve("scene.png", func(*http.Request) Reply { return *sc.reply.Load() }), 640, 75)
	return sc
}

// now changes what the upstream answers.
func (sc *scene) now(r Reply) { sc.reply.Store(&r) }

// look compares a request.
func (sc *scene) look(header ...string) {
	sc.step++
	sc.get(fmt.Sprintf("%s, step %d", sc.name, sc.step), sc.target, header...)
}

// wait lets time pass.
func (sc *scene) wait(d time.Duration) { time.Sleep(d) }

const (
	expire = 2600 * time.Millisecond // longer than the minimumCacheTTL of 2 s
	settle = 900 * time.Millisecond  // enough for a revalidation in the background, shorter than the TTL
)

// freshness plays all scenes at the same time: they only wait.
func freshness(s *session) {
	tagged := func(body []byte, tag string, more ...[2]string) Reply {
		return Reply{Body: body, Header: append([][2]string{{"ETag", tag}}, more...)}
	}
	cc := func(v string) [2]string { return [2]string{"Cache-Control", v} }
	one, two, svg := s.assets.small, s.assets.webp, s.assets.svg
	scenes := map[string]func(name string){
		"the same image": func(name string) {
			sc := s.newScene(name, tagged(one, `"1"`))
			for range 3 {
				sc.look()
				sc.look()
				sc.wait(expire)
				sc.look()
				sc.wait(settle)
			}
			sc.look()
		},
		"another image and tag": func(name string) {
			sc := s.newScene(name, tagged(one, `"1"`))
			sc.look()
			sc.now(tagged(two, `"2"`))
			sc.look()
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
			sc.look()
		},
		"another image, the same tag": func(name string) {
			sc := s.newScene(name, tagged(one, `"1"`))
			sc.look()
			sc.now(tagged(s.assets.tile, `"1"`))
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"another type, the same tag": func(name string) {
			sc := s.newScene(name, tagged(s.assets.tile, `"1"`))
			sc.look()
			sc.now(tagged(s.assets.webp, `"1"`))
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
			sc.wait(expire)
			sc.look()
		},
		"passed through, then the same tag and an image": func(name string) {
			sc := s.newScene(name, tagged(svg, `"1"`))
			sc.look()
			sc.now(tagged(one, `"1"`))
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"an image, then the same tag and passed through": func(name string) {
			sc := s.newScene(name, tagged(one, `"1"`))
			sc.look()
			sc.now(tagged(svg, `"1"`))
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"no tag, the same image": func(name string) {
			sc := s.newScene(name, Reply{Body: one})
			sc.look()
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"no tag, another image": func(name string) {
			sc := s.newScene(name, Reply{Body: one})
			sc.look()
			sc.now(Reply{Body: s.assets.tile})
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"a tag appears": func(name string) {
			sc := s.newScene(name, Reply{Body: one})
			sc.look()
			sc.now(tagged(one, `"1"`))
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"the lifetime is longer": func(name string) {
			sc := s.newScene(name, tagged(one, `"1"`, cc("max-age=4")))
			sc.look()
			sc.wait(expire)
			sc.look()
			sc.wait(2 * time.Second)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"the lifetime is shorter": func(name string) {
			sc := s.newScene(name, tagged(one, `"1"`, cc("max-age=1")))
			sc.look()
			sc.wait(1300 * time.Millisecond)
			sc.look()
			sc.wait(1300 * time.Millisecond)
			sc.look()
		},
		"the lifetime changes, the tag does not": func(name string) {
			sc := s.newScene(name, tagged(one, `"1"`, cc("max-age=3")))
			sc.look()
			sc.now(tagged(one, `"1"`, cc("max-age=900")))
			sc.wait(3600 * time.Millisecond)
			sc.look()
			sc.wait(settle)
			sc.look()
			sc.wait(3600 * time.Millisecond)
			sc.look()
		},
		"the lifetime and the tag change": func(name string) {
			sc := s.newScene(name, tagged(one, `"1"`))
			sc.look()
			sc.now(tagged(one, `"2"`, cc("max-age=900")))
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"passed through": func(name string) {
			sc := s.newScene(name, tagged(svg, `"1"`))
			sc.look()
			sc.look()
			sc.now(tagged(svg, `"1"`, cc("max-age=900")))
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"not decodable": func(name string) {
			sc := s.newScene(name, tagged(s.assets.photo[:400], `"1"`, cc("max-age=900")))
			sc.look()
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
			sc.now(tagged(s.assets.tile, `"1"`, cc("max-age=900")))
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"conditional requests": func(name string) {
			sc := s.newScene(name, tagged(one, `"1"`))
			sc.look("If-None-Match: *")
			sc.look("If-None-Match: *")
			sc.wait(expire)
			sc.look("If-None-Match: *")
			sc.wait(settle)
			sc.look()
			sc.look("If-None-Match: x")
		},
		"two at once": func(name string) {
			sc := s.newScene(name, tagged(one, `"1"`))
			sc.look()
			sc.now(Reply{Body: s.assets.tile, Before: 400 * time.Millisecond})
			sc.wait(expire)
			sc.look()
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"a conditional upstream": func(name string) {
			sc := s.newScene(name, Reply{})
			sc.target = s.image(s.serve("scene.png", func(r *http.Request) Reply {
				if r.Header.Get("If-None-Match") == `"1"` {
					return Reply{Status: 304, Header: [][2]string{{"ETag", `"1"`}, {"Cache-Control", "max-age=3"}}}
				}
				return tagged(one, `"1"`, cc("max-age=3"))
			}), 640, 75)
			for range 3 {
				sc.look()
				sc.wait(3600 * time.Millisecond)
				sc.look()
				sc.wait(settle)
			}
		},
		"a conditional upstream, passed through": func(name string) {
			sc := s.newScene(name, Reply{})
			var life atomic.Value
			life.Store("max-age=3")
			sc.target = s.image(s.serve("scene.svg", func(r *http.Request) Reply {
				header := cc(life.Load().(string))
				if r.Header.Get("If-None-Match") == `"1"` {
					return Reply{Status: 304, Header: [][2]string{{"ETag", `"1"`}, header}}
				}
				return tagged(svg, `"1"`, header)
			}), 640, 75)
			sc.look()
			life.Store("max-age=500")
			sc.wait(3600 * time.Millisecond)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"an upstream that knows dates": func(name string) {
			const date = "Fri, 01 Jan 2021 00:00:00 GMT"
			sc := s.newScene(name, Reply{})
			sc.target = s.image(s.serve("scene.png", func(r *http.Request) Reply {
				if r.Header.Get("If-Modified-Since") == date {
					return Reply{Status: 304}
				}
				return Reply{Body: one, Header: [][2]string{{"Last-Modified", date}, cc("max-age=3")}}
			}), 640, 75)
			sc.look()
			sc.wait(3600 * time.Millisecond)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"a relative url": func(name string) {
			sc := s.newScene(name, Reply{})
			sc.target = s.image(s.gen("x.png", program{File: "small.png", Headers: map[string]string{"ETag": `"1"`, "Cache-Control": "max-age=3"}}), 640, 75)
			sc.look()
			sc.look()
			sc.wait(3600 * time.Millisecond)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
		"a file": func(name string) {
			sc := s.newScene(name, Reply{})
			sc.target = s.image("/assets/small.png", 828, 75)
			sc.look()
			sc.wait(expire)
			sc.look()
			sc.wait(settle)
			sc.look()
		},
	}
	for _, bad := range []struct {
		name  string
		reply Reply
	}{
		{"404", Reply{Status: 404}}, {"410", Reply{Status: 410}}, {"500", Reply{Status: 500}}, {"503", Reply{Status: 503}}, {"a page", Reply{Body: []byte("<html>")}}, {"nothing", Reply{}}, {"too much", Reply{Body: make([]byte, 30000)}}, {"no answer", Reply{Hangup: true}}, {"a redirect too many", Reply{Status: 302, Header: [][2]string{{"Location", "?x"}}}},
	} {
		for _, life := range []string{"", "max-age=1", "max-age=4", "max-age=2"} {
			name := "then " + bad.name + ", first with " + life
			if life != "" && bad.name != "404" {
				continue
			}
			scenes[name] = func(name string) {
				sc := s.newScene(name, tagged(one, `"1"`, cc(life)))
				sc.look()
				sc.now(bad.reply)
				sc.wait(expire)
				if life == "max-age=4" {
					sc.wait(2 * time.Second)
				}
				sc.look()
				sc.wait(2 * settle) // retries take their time
				sc.look()
				sc.wait(3600 * time.Millisecond)
				sc.look()
				sc.wait(2 * settle)
				sc.now(tagged(s.assets.tile, `"2"`))
				sc.look()
				sc.wait(3600 * time.Millisecond)
				sc.look()
				sc.wait(settle)
				sc.look()
			}
		}
	}
	play(scenes)
}

// play runs scenes at the same time.
func play(scenes map[string]func(string)) {
	var wg sync.WaitGroup
	for name, run := range scenes {
		wg.Go(func() { run(name) })
	}
	wg.Wait()
}

// withoutTTL is a minimumCacheTTL of zero: what has no lifetime is stale as soon as it is there.
func withoutTTL(s *session) {
	scenes := map[string]func(string){}
	for _, life := range []string{"", "max-age=0", "max-age=1", "max-age=-5", "no-store", "s-maxage=3"} {
		scenes["Cache-Control: "+life] = func(name string) {
			sc := s.newScene(name, Reply{Body: s.assets.small, Header: [][2]string{{"ETag", `"1"`}, {"Cache-Control", life}}})
			sc.look()
			sc.wait(200 * time.Millisecond)
			sc.look()
			sc.wait(1500 * time.Millisecond)
			sc.look()
			sc.wait(settle) // the revalidation is over before the upstream changes
			sc.now(Reply{Status: 404})
			sc.wait(expire)
			sc.look() // stale; the revalidation that fails keeps the entry for 3 s
			sc.wait(settle)
			sc.look()
			sc.wait(3500 * time.Millisecond)
			sc.look()
		}
	}
	play(scenes)
}
