//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
)

// randomGroups draw requests and upstreams from a grammar of odd pieces: combinations nobody has thought of. The seed is
// E2E_SEED (default 1), so that a failure can be repeated; E2E_RANDOM is how many requests a group draws.
func randomGroups() []group {
	return []group{
		{name: "random url", variant: "remote", run: randomURLs},
		{name: "random url", variant: "patterns", run: randomURLs},
		{name: "random query", variant: "default", run: randomQueries},
		{name: "random accept", variant: "formats", run: randomAccepts},
		{name: "random accept", variant: "tuned", run: randomAccepts},
		{name: "random conditional", variant: "default", run: randomConditionals},
		{name: "random upstream", variant: "remote", run: randomUpstreams},
		{name: "random name", variant: "remote", run: randomNames},
	}
}

// number returns an integer from the environment.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// draws is how many requests a random group sends.
var draws = number("E2E_RANDOM", 250)

// dice draws from a seed that depends on the group, not on the order of groups.
type dice struct{ *rand.Rand }

func (s *session) dice() dice {
	seed := uint64(number("E2E_SEED", 1))
	for _, b := range []byte(s.group + s.variant) {
		seed = seed*31 + uint64(b)
	}
	return dice{rand.New(rand.NewPCG(seed, seed))}
}

// of draws one of some texts.
func (d dice) of(some ...string) string { return some[d.IntN(len(some))] }

// times joins up to n draws of f.
func (d dice) times(n int, f func() string) string {
	var b strings.Builder
	for range d.IntN(n + 1) {
		b.WriteString(f())
	}
	return b.String()
}

// char draws a character that may mean something to somebody.
func (d dice) char() string {
	return d.of("a", "b", "Z", "0", "9", "-", "_", ".", "..", "~", "!", "*", "'", "(", ")", ";", ":", "@", "&", "=", "+", "$", ",", "/", "//", "?", "#", "[", "]", "%", "%2F", "%2f", "%5C", "%25", "%41", "%20", "%00", "%0A", "%7F", "%C3%BC", "%C3", "%FF", "%zz", "%2", "\\", "|", "^", "`", "{", "}", "<", ">", "\"", " ", "ü", "名", "😀", "\u00ad", "\u200d", "\t", "\n", "İ", "ß", "Ａ")
}

// path draws a path that often exists.
func (d dice) path() string {
	switch d.IntN(6) {
	case 0:
		return "/assets/small.png"
	case 1:
		return "/assets/small.png" + d.times(2, d.char)
	case 2:
		return "/" + d.times(6, d.char)
	case 3:
		return d.of("/images/", "/lp/one/", "/lp/a/deep/", "/lp/q/", "/gen/", "/_next/static/media/", "/_next/image", "/a/b/") + d.times(4, d.char)
	case 4:
		return "/" + d.of(".", "..", "assets", "%2e", "%2E%2e") + "/" + d.of("assets", "..", ".", "") + "/" + d.of("small.png", "../assets/small.png", "./x")
	default:
		return d.times(3, d.char) + "/assets/small.png"
	}
}

// absolute draws an absolute url, often of the origin.
func (d dice) absolute(port int) string {
	scheme := d.of("http://", "http://", "http://", "http://", "HTTP://", "https://", "http:", "http:/", "http:///", "http:\\\\", " http://", "ht\ttp://", "ftp://")
	user := d.of("", "", "", "", "", "u@", "u:p@", ":@", "a@b@", "%41:ü@")
	name := d.of("127.0.0.1", "127.0.0.1", "127.0.0.1", "localhost", "LOCALHOST", "[::1]", "127.1", "0x7f.1", "127.0.1.4", "127.0.1.7", "127.0.0.2", "１２７.0.0.1", "loc%61lhost", "ⓛocalhost", "127.0.0.1.", "a"+d.char()+"b.invalid", d.times(3, d.char))
	at := d.of(fmt.Sprintf(":%d", port), fmt.Sprintf(":%d", port), fmt.Sprintf(":%d", port), fmt.Sprintf(":0%d", port), "", ":", ":9")
	return scheme + user + name + at + d.of("", "/", "/x.png", "/x.png"+d.char(), "/"+d.times(6, d.char), "?"+d.times(3, d.char), "#"+d.times(2, d.char), "/a/b.png?"+d.times(4, d.char))
}

func randomURLs(s *session) {
	d := s.dice()
	for range 2 * draws {
		u := d.path()
		if d.IntN(3) > 0 {
			u = d.absolute(s.origin.Port)
		}
		s.do(strconv.QuoteToASCII(u), Request{Target: s.image(u, 640, 75)}, either(retried, unreachable))
	}
}

// raw writes a text into a query the way careless clients do: some characters escaped, some not.
func (d dice) raw(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case c <= ' ' || c >= 0x7f || c == '#' || d.IntN(8) == 0:
			fmt.Fprintf(&b, d.of("%%%02X", "%%%02x"), c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func randomQueries(s *session) {
	d := s.dice()
	for range 2 * draws {
		var parts []string
		for range 1 + d.IntN(5) {
			key := d.of("url", "url", "w", "w", "q", "q", "dpl", "Url", "u%72l", "url[]", "", "x", "w%20")
			var value string
			switch d.IntN(4) {
			case 0:
				value = d.raw(d.path())
			case 1:
				value = d.of("640", "64", "75", "1", "0", "064", "75.0", "1e2", "+75", "", "abc", "%36%34", "99999999999999999999", "-1", "100", "101")
			case 2:
				value = d.of("/assets/small.png", "%2Fassets%2Fsmall.png")
			default:
				value = d.raw(d.times(3, d.char))
			}
			parts = append(parts, key+d.of("=", "=", "=", "=", "", "==")+value)
		}
		if d.IntN(2) == 0 { // a good request with something wrong in it
			parts = append(parts, "url=/assets/small.png", "w=640", "q=75")
			d.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			parts = parts[:len(parts)-d.IntN(2)]
		}
		query := strings.Join(parts, d.of("&", "&", "&", "&&", ";"))
		s.do(query, Request{Target: s.target(query)}, retried)
	}
}

// accept draws an Accept header.
func (d dice) accept() string {
	var parts []string
	for range 1 + d.IntN(4) {
		part := d.of("image/webp", "image/avif", "image/webp", "image/avif", "image/*", "*/*", "image/png", "text/html", "IMAGE/WEBP", "image/", "/webp", "webp", "*", "", "image/webp/x", "imagewebp", "image/w*", "*/webp")
		part += d.of("", "", "", d.of(";q=", "; q=", " ;q = ", ";Q=", ";q", ";level=1;q=", ";x=\"a,b\";q=")+d.of("0", "1", "0.5", "0.1", "0.001", ".5", "1.5", "-1", "", "x", "0.55555", "1.000"))
		parts = append(parts, d.of("", " ", "", "\t")+part)
	}
	return strings.Join(parts, d.of(",", ", ", " , ", ",,", ";"))
}

func randomAccepts(s *session) {
	d := s.dice()
	width := map[string]int{"formats": 16, "tuned": 24}[s.variant]
	for range draws {
		header := []string{"Accept: " + d.accept()}
		if d.IntN(5) == 0 {
			header = append(header, "Accept: "+d.accept())
		}
		s.get(strings.Join(header, " | "), s.image("/assets/small.png", width, 75), header...)
	}
}

func randomConditionals(s *session) {
	d := s.dice()
	target := s.image("/assets/small.png", 750, 75)
	want, _ := s.get("first", target)
	if want == nil {
		return
	}
	tag := want.Header.Get("ETag")
	for range draws {
		var header []string
		for range 1 + d.IntN(2) {
			value := d.times(4, func() string {
				return d.of("", " ", "W/", "w/") + d.of(tag, tag, `"`+tag+`"`, "*", "x", `""`, "", tag[1:], strings.ToLower(tag)) + d.of(",", ", ", " , ", ";", " ", "")
			})
			header = append(header, "If-None-Match: "+value)
		}
		if d.IntN(3) == 0 {
			header = append(header, "Cache-Control: "+d.of("no-cache", "max-age=0", "x,no-cache", "no-cache=1", "No-Cache , y"))
		}
		if d.IntN(4) == 0 {
			header = append(header, "If-Modified-Since: "+d.of("Fri, 01 Jan 2100 00:00:00 GMT", "x", ""))
		}
		r := Request{Method: d.of("GET", "HEAD"), Target: target, Header: append(header, "Accept-Encoding: "+d.of("gzip", "identity"))}
		s.do(r.Method+" "+strings.Join(header, " | "), r, nil)
	}
}

// reply draws what an upstream says.
func (d dice) reply(s *session) (Reply, string) {
	bodies := map[string][]byte{"png": s.assets.small, "svg": s.assets.svg, "gif": s.assets.gif, "webp": s.assets.webp, "text": []byte("x"), "none": nil, "cut": s.assets.small[:200]}
	names := []string{"png", "png", "png", "svg", "svg", "gif", "webp", "text", "none", "cut"}
	kind := names[d.IntN(len(names))]
	r := Reply{Body: bodies[kind], Framing: []Framing{FramingLength, FramingChunked, FramingClose}[d.IntN(3)]}
	said := kind
	add := func(name, value string) {
		r.Header = append(r.Header, [2]string{name, value})
		said += fmt.Sprintf(" %s: %q", name, value)
	}
	if d.IntN(2) == 0 {
		directives := func() string {
			return d.of("max-age", "s-maxage", "Max-Age", "public", "no-store", " max-age", "s-maxage ") + d.of("=", "=", "=", "", " = ", "==") + d.of("1000", "\"2000\"", "0", "-5", "abc", "", "3000.7", "1e5", "+4000", "05000", " 6000", "\"7000", "99999999", "\"") + d.of(",", ", ", " , ", ";", "")
		}
		for range 1 + d.IntN(2) {
			add("Cache-Control", d.times(4, directives))
		}
	}
	if d.IntN(2) == 0 {
		add("ETag", d.of(`"`, `W/"`, "", "w/")+d.times(3, func() string {
			return d.of("a", "b1", "-", "/", "+", "=", ".", " ", ",", "\xe9", "\xff", "ü", "%22", "\\")
		})+d.of(`"`, ""))
	}
	if d.IntN(3) == 0 && len(r.Body) > 0 {
		var chain []string
		for range 1 + d.IntN(4) {
			chain = append(chain, d.of("gzip", "x-gzip", "deflate", "br"))
		}
		r.Body = encode(r.Body, chain...)
		// Not cut: of a cut stream Go's decoder may give one byte less than zlib.
		if d.IntN(4) == 0 {
			r.Body = append(slices.Clone(r.Body), d.of("x", "\x1f\x8b", "\x00\x00\x00", "rubbish")...)
			said += " with a tail"
		}
		if d.IntN(8) == 0 {
			chain = append(chain, d.of("identity", "zstd", "", "GZIP", "br"))
		}
		add("Content-Encoding", strings.Join(chain, d.of(", ", ",", " ,")))
	}
	if d.IntN(4) == 0 {
		add("Content-Type", d.of("image/png", "text/html", "", "image/svg+xml; charset=utf-8", "x"))
	}
	if d.IntN(4) == 0 {
		codes := []int{201, 203, 204, 206, 299, 300, 301, 302, 303, 304, 307, 308, 400, 403, 404, 410, 418, 429, 451, 500, 501, 502, 503, 504, 505, 599}
		r.Status = codes[d.IntN(len(codes))]
		said += fmt.Sprint(" ", r.Status)
		if d.IntN(2) == 0 {
			add("Location", d.of("/random.png", "random.png", "?x", "#y", "//127.0.0.1:"+fmt.Sprint(s.origin.Port)+"/z.png", "http:///", "", "../a b", s.origin.URL("/random.png"), "ftp://x/", "http://[/"))
		}
	}
	return r, said
}

func randomUpstreams(s *session) {
	d := s.dice()
	for range 2 * draws {
		reply, said := d.reply(s)
		target := s.image(s.serve(d.of("x.png", "x.svg", "x", "ü.png"), always(reply)), 640, 75)
		header := []string{"Accept: " + d.of("*/*", "image/webp"), "Accept-Encoding: " + d.of("gzip", "br", "identity")}
		allow := either(retried, unreachable)
		want, _ := s.do(said, Request{Target: target, Header: header}, allow)
		if want == nil {
			continue
		}
		if tag := want.Header.Get("ETag"); tag != "" && d.IntN(2) == 0 {
			header = append(header, "If-None-Match: "+tag)
		}
		s.do(said+" again", Request{Method: d.of("GET", "HEAD"), Target: target, Header: header}, allow)
	}
}

func randomNames(s *session) {
	d := s.dice()
	reply := always(Reply{Body: s.assets.small})
	for range draws {
		name := d.times(5, d.char)
		base := fmt.Sprintf("/random/%d/", serial.Add(1))
		s.origin.Handle(base+name, reply)
		s.do(strconv.QuoteToASCII(name), Request{Target: s.image(s.origin.URL(base)+name, 640, 75)}, unreachable)
		local := "/odd/" + d.of(s.assets.odd...)
		s.do("local "+strconv.QuoteToASCII(local), Request{Target: s.target("url=" + d.raw(local) + "&w=640&q=75")}, retried)
	}
}
