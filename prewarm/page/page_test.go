package page

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t *testing.T, html string, o Options) *Page {
	t.Helper()
	if o.URL == "" {
		o.URL = "https://shop.example/a/b"
	}
	p, err := Parse(strings.NewReader(html), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// origin is cut off what the tests expect.
const origin = "https://shop.example"

func short(urls []string) []string {
	var out []string
	for _, u := range urls {
		out = append(out, strings.TrimPrefix(u, origin))
	}
	return out
}

func TestImages(t *testing.T) {
	for _, c := range []struct {
		name, html string
		want       []string
	}{
		{"none", `<p>no image</p>`, nil},
		{"img", `<img src="/i?1" srcset="/i?2 1x, /i?3 2x">`, []string{"/i?1", "/i?2", "/i?3"}},
		{"case", `<IMG SRC=/i?1 SrcSet="/i?2&amp;w=3 1x">`, []string{"/i?1", "/i?2&w=3"}},
		{"once", `<img src="/i?1"><img src="/i?1">`, []string{"/i?1"}},
		{"relative", `<img src="i?1"><img src="../i?2"><img src="//shop.example/i?3">`, []string{"/a/i?1", "/i?2", "/i?3"}},
		{"base", `<img src="i?1"><base href="/c/"><img src="i?2"><base href="/d/">`, []string{"/c/i?1", "/c/i?2"}},
		{"bad base", `<base href="data:,"><img src="i?1">`, []string{"/a/i?1"}},
		{"fragment", `<img src="/i?1#top">`, []string{"/i?1"}},
		{"other schemes", `<img src="data:image/i,"><img src="blob:/i"><img src="javascript:i">`, nil},
		{"picture", `<picture><source srcset="/i?1 640w"><img src="/i?2"></picture>`, []string{"/i?1", "/i?2"}},
		{"audio", `<audio><source src="/i?1"></audio>`, nil},
		{"video", `<video poster="/i?1" src="/i?2"></video>`, []string{"/i?1"}},
		{"input", `<input type=IMAGE src="/i?1"><input type=text src="/i?2">`, []string{"/i?1"}},
		{"svg", `<svg><image href="/i?1"/><image xlink:href="/i?2"/></svg>`, []string{"/i?1", "/i?2"}},
		{"preload", `<link rel="preload" as="image" href="/i?1" imagesrcset="/i?2 1x, /i?3 2x">`, []string{"/i?1", "/i?2", "/i?3"}},
		{"preload of something else", `<link rel="preload" as="script" href="/i?1"><link rel="icon" href="/i?2">`, nil},
		{"style attribute", `<p style="background:url(/i?1)">`, []string{"/i?1"}},
		{"style element", `<style>p{background:image-set("/i?1" 1x)}</style>`, []string{"/i?1"}},
		{"noscript", `<noscript><img src="/i?1"></noscript>`, []string{"/i?1"}},
		{"hidden", `<div hidden id="S:0"><img src="/i?1"></div>`, []string{"/i?1"}},
		{"template", `<template><img src="/i?1"></template><template shadowrootmode="open"><img src="/i?2"></template>`, []string{"/i?2"}},
		{"comment", `<!-- <img src="/i?1"> -->`, nil},
		{"text", `<textarea><img src="/i?1"></textarea>`, nil},
		{"other scripts", `<script>load("/i?1")</script><script type="application/ld+json">{"image":"/i?1"}</script>`, nil},
		{"not contained", `<img src="/x?1" srcset="/x?2 1x" style="background:url(/x?3)">`, nil},
		{"unclosed", `<div><img src="/i?1`, nil},
		{"flight", `<script>self.__next_f.push([0])</script>` +
			`<script>self.__next_f.push([1,"1:\"$Sreact.fragment\"\n2:[\"$\",\"img\",null,{\"srcSet\":\"/i?2 1x, /i"])</script>` +
			`<script>self.__next_f.push([1,"?1 2x\",\"alt\":\"see /i?9\"}]\n:HL[\"/i?3\",\"image\",{}]\n"]);</script>`,
			[]string{"/i?1", "/i?2", "/i?3"}},
		{"flight, broken", `<script>self.__next_f.push([1,"2:{\"a\":\"/i?1\"`, nil},
		{"flight, text row", `<script>self.__next_f.push([1,"2:T5,/i?1 2x"])</script>`, nil},
		{"pages router", `<script id="__NEXT_DATA__" type="application/json">{"props":{"a":["/i?1 1x, /i?2 2x"],"/i?3":1}}</script>`, []string{"/i?1", "/i?2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := short(read(t, c.html, Options{Contains: "i?"}).Images); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLinks(t *testing.T) {
	const html = `<a href="/1">1</a><a href="2#x"></a><a href="/1#y"></a><map><area href="/3"></map>
		<a href="/4" rel="noopener nofollow"></a><a href="/5" download></a><a>no href</a><a href="mailto:a@b"></a>
		<a href="https://other.example/6"></a><svg><a href="/7"></a></svg><link rel="next" href="/8">`
	want := []string{"/1", "/a/2", "/3", "https://other.example/6", "/7"}
	if got := short(read(t, html, Options{}).Links); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	all := append(slices.Clone(want[:3]), append([]string{"/4"}, want[3:]...)...)
	if got := short(read(t, html, Options{FollowAll: true}).Links); !slices.Equal(got, all) {
		t.Errorf("FollowAll: got %q, want %q", got, all)
	}
	for _, content := range []string{"nofollow", "noindex, NOFOLLOW", "none"} {
		meta := `<meta name="Robots" content="` + content + `">`
		if got := read(t, meta+html, Options{}).Links; len(got) > 0 {
			t.Errorf("%s: got %q", meta, got)
		}
		if got := read(t, meta+html, Options{FollowAll: true}).Links; len(got) != len(all) {
			t.Errorf("%s, FollowAll: got %q", meta, got)
		}
	}
	if got := read(t, `<meta name="robots" content="noindex">`+html, Options{}).Links; len(got) != len(want) {
		t.Errorf("noindex: got %q", got)
	}
}

func TestParseErrors(t *testing.T) {
	if _, err := Parse(strings.NewReader(""), Options{URL: "/relative"}); err == nil || !strings.Contains(err.Error(), `"/relative"`) {
		t.Errorf("a relative address: %v", err)
	}
	if _, err := Parse(strings.NewReader(strings.Repeat("<div>", 600)), Options{URL: origin}); err == nil || !strings.Contains(err.Error(), "512") {
		t.Errorf("a deep document: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	// Short ones: large inputs are minimized for minutes.
	for _, html := range []string{
		`<base href="//x"><a href=1><img srcset="/_next/image?1 1x"><svg><style>a{b:url(/_next/image)}`,
		`<script>self.__next_f.push([1,"2:[\"/_next/image?1 1x\"]\n:HL[\"/_next/image\"]\n"])</script>`,
		`<script id="__NEXT_DATA__">{"a":["/_next/image?1"]}</script><noscript><img src=/_next/image?2>`,
		`<link rel="preload" as=image imagesrcset="/_next/image?1 640w"><meta name=robots content=none><area href=#>`,
		`<template shadowrootmode=open><video poster="/_next/image"><p style="a:image-set('/_next/image' 1x)">`,
	} {
		f.Add(html)
	}
	f.Fuzz(func(t *testing.T, html string) {
		p, err := Parse(strings.NewReader(html), Options{URL: origin, Contains: "/_next/image"})
		if err != nil {
			return
		}
		for _, u := range slices.Concat(p.Images, p.Links) {
			if !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") || strings.Contains(u, "#") {
				t.Errorf("url %q", u)
			}
		}
	})
}
