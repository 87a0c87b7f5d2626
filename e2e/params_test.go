//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"strings"
)

// parameterGroups test what is wrong with w, q and the query as a whole, and the order in which it is found.
func parameterGroups() []group {
	return []group{
		{name: "params order", variant: "default", run: paramsOrder},
		{name: "params order", variant: "patterns", run: paramsOrder},
		{name: "params width", variant: "default", run: paramsWidth},
		{name: "params quality", variant: "default", run: paramsQuality},
		{name: "params quality", variant: "patterns", run: paramsQuality},
		{name: "params sizes", variant: "default", run: paramsSizes},
		{name: "params sizes", variant: "patterns", run: paramsSizes},
		{name: "params sizes", variant: "tuned", run: paramsSizes},
		{name: "params query", variant: "default", run: paramsQuery},
	}
}

// paramsOrder combines every state of url, w and q: the first failing check must be the one that is told.
func paramsOrder(s *session) {
	urls := []string{
		"", "url=", "url=/a&url=/b", "url=&url=", "url=/" + strings.Repeat("a", 3072), "url=//a/b", "url=/_next/image",
		"url=/images/a.png?b=1", "url=" + url.QueryEscape("/images/a.png?b=1"), "url=x", "url=ftp://a/b",
		"url=http://unknown.example/x.png", "url=/assets/small.png", "url=/images/none.png",
	}
	widths := []string{"", "w=", "w=100&w=100", "w=x", "w=0", "w=-1", "w=101", "w=128", "w=640"}
	qualities := []string{"", "q=", "q=75&q=75", "q=x", "q=0", "q=101", "q=74", "q=75"}
	for _, u := range urls {
		for _, w := range widths {
			for _, q := range qualities {
				query := strings.Join([]string{u, w, q}, "&")
				s.get(shorten(query), s.target(query))
			}
		}
	}
}

// numbers are spellings of a number in a query, percent-encoded where needed.
func numbers(good string) []string {
	out := []string{
		"", "0", "00", "000", "-0", "+0", "1", "2", "99", "100", "101", "1000", "-1", "+1",
		"1e2", "0x40", "0b1", "0o7", "NaN", "Infinity", "-Infinity", "null", "undefined", "true", "[]", "{}",
		"%00", "%0a", "%20", "%", "%2", "%zz", "%E0%A4%A", "%FF",
		"1.0", ".5", "1,0", "1_0", "64,64", "6%204",
		"9007199254740993", "99999999999999999999", "123456789012345678901", "1234567890123456789012",
		"1" + strings.Repeat("0", 22), strings.Repeat("9", 308), strings.Repeat("9", 309), "1" + strings.Repeat("0", 400),
	}
	for _, f := range []string{
		"0%s", "00%s", "000000000000000000000000000000%s", "%%20%s", "%s%%20", "%%09%s", "%s%%0a", "%s%%0d%%0a", "+%s", "%s+", "%%2B%s", "-%s",
		"%s.0", "%s.5", "%se0", "%s%%00", "%s%%C2%%A0", "%%EF%%BB%%BF%s", "%sx", "x%s", "\"%s\"", "'%s'", "%s;", "%s,", "%s%%26", "%s%%3D",
	} {
		out = append(out, fmt.Sprintf(f, good))
	}
	// The same digits in other scripts, and percent-encoded.
	var arabic, fullwidth, mathematical, percent strings.Builder
	for _, d := range good {
		arabic.WriteRune('٠' + d - '0')
		fullwidth.WriteRune('０' + d - '0')
		mathematical.WriteRune('𝟎' + d - '0')
		fmt.Fprintf(&percent, "%%%02X", d)
	}
	return append(out, url.QueryEscape(arabic.String()), url.QueryEscape(fullwidth.String()), url.QueryEscape(mathematical.String()), percent.String())
}

func paramsWidth(s *session) {
	for _, w := range numbers("64") {
		s.get("w="+shorten(w), s.target("url=%2Fassets%2Fsmall.png&w="+w+"&q=75"))
	}
	for _, w := range []string{"w[]=64", "w%5B%5D=64", "w[0]=64", "w.x=64", "W=64", "w", "w=&w=", "w=&w=64", "w=64&w", "w=64&w=128&w=256", "+w=64", "w+=64", "w%00=64", "%77=64"} {
		s.get(w, s.target("url=%2Fassets%2Fsmall.png&"+w+"&q=75"))
	}
}

func paramsQuality(s *session) {
	for _, good := range []string{"75", "42"} {
		for _, q := range numbers(good) {
			s.get("q="+shorten(q), s.target("url=%2Fimages%2Fnone.png&w=640&q="+q))
		}
	}
	for _, q := range []string{"q[]=75", "q%5B%5D=75", "Q=75", "q", "q=&q=", "q=75&q", "quality=75", "%71=75", "q=075", "q=0100", "q=1", "q=100"} {
		s.get(q, s.target("url=%2Fimages%2Fnone.png&w=640&"+q))
	}
}

// paramsSizes asks for every width around the usual ones: which are allowed shows the configured sizes.
func paramsSizes(s *session) {
	for _, w := range []int{1, 8, 10, 16, 20, 24, 32, 48, 64, 96, 100, 128, 256, 320, 384, 512, 640, 641, 750, 828, 1000, 1080, 1200, 1920, 2048, 3840, 3841, 4096} {
		s.get(fmt.Sprintf("w=%d", w), s.image("/images/none.png", w, 75))
	}
	for q := range 103 {
		s.get(fmt.Sprintf("q=%d", q), s.image("/images/none.png", 640, q))
	}
}

// paramsQuery tests how the query is taken apart, as Node's querystring does it.
func paramsQuery(s *session) {
	const rest = "&w=64&q=75"
	const good = "url=%2Fassets%2Fsmall.png" + rest
	many := func(n int) string { return strings.Repeat("a=1&", n) }
	queries := []string{
		"", "&", "&&&", "=", "==", "&=&", "url", "url" + rest, "url&url" + rest, "=x&" + good, "URL=%2Fassets%2Fsmall.png" + rest, "Url=/a" + rest,
		"url[]=/a" + rest, "url%5B%5D=/a" + rest, "url[0]=/a" + rest, "url.a=/a" + rest, "u%72l=%2Fassets%2Fsmall.png" + rest, "%75%72%6c=%2Fassets%2Fsmall.png" + rest,
		"+url=/a" + rest, "url+=/a" + rest, "%20url=/a" + rest, "url%00=/a" + rest, "url=/assets/small.png;w=64;q=75", "url=/assets/small.png&amp;w=64&amp;q=75",
		"&" + good, good + "&", "&&" + good + "&&", "?" + good, good + "?", good + "#fragment", good + "&#", "url=/assets/small.png#x&w=64&q=75",
		"url=/assets/small.png?x=1" + rest, "url=/assets/small.png?" + rest, "url=/assets=small.png" + rest, "url==/assets/small.png" + rest,
		"url=/assets/sma%6Cl.png" + rest, "url=%252Fassets%252Fsmall.png" + rest, "url=/assets/small.png%20" + rest, "url=+/assets/small.png" + rest,
		"url=%" + rest, "url=/%" + rest, "url=/%zz" + rest, "url=/%E0%A4%A" + rest, "url=/%FF" + rest, "url=/%C3" + rest, "url=%2F%25" + rest, "url=%2F%2525" + rest, "url=/%25FF" + rest, "url=%ED%A0%80" + rest,
		"w=64&q=75&url=/assets/small.png", "q=75&w=64&url=/assets/small.png", "q=75&url=/assets/small.png&w=64",
		good + "&w=64", good + "&q=75", good + "&url=%2Fassets%2Fsmall.png", good + "&w", good + "&q=", good + "&url",
		good + "&x=1", good + "&x=%", good + "&x=%FF", good + "&dpl=abc", good + "&dpl=", good + "&dpl=a&dpl=b", good + "&dpl", "dpl=x&" + good, good + "&dpl=%00",
		good + "&_rsc=1abc", good + "&nxtPa=1", good + "&nxtIa=1", good + "&nxtPurl=1", good + "&nxtPw=64", "nxtPurl=%2Fassets%2Fsmall.png&nxtPw=64&nxtPq=75", good + "&__nextLocale=de", good + "&__nextDefaultLocale=de", good + "&amp=1", good + "&__nextDataReq=1", good + "&__nextInferredLocaleFromDefault=1",
		good + "&__proto__=1", good + "&__proto__[url]=1", good + "&constructor=1", good + "&hasOwnProperty=1", good + "&toString=1&valueOf=2", good + "&length=3",
		many(996) + good, many(997) + good, many(998) + good, many(999) + good, many(1000) + good, many(1001) + good, "url=%2Fassets%2Fsmall.png&" + many(998) + "w=64&q=75", "url=%2Fassets%2Fsmall.png&w=64&" + many(998) + "q=75", strings.Repeat("&", 1500) + good, strings.Repeat("url=/a&", 1200) + rest,
		"url=" + url.QueryEscape("/assets/\u0000small.png") + rest, "url=" + url.QueryEscape("/assets/small.png\n") + rest, "url=" + url.QueryEscape("\t/assets/small.png") + rest,
		"url=%2fassets%2fsmall%2epng" + rest, "url=/assets/small.png&w=64&q=75&w=", "url=/assets/small.png&w=&w=&q=75",
	}
	for _, q := range queries {
		s.get(shorten(q), s.target(q))
	}
	s.get("no question mark", s.base+"/_next/image"+s.slash)
	s.get("two question marks", s.base+"/_next/image"+s.slash+"??"+good)
}

// shorten makes a long text fit a report.
func shorten(text string) string {
	if len(text) <= 120 {
		return text
	}
	return fmt.Sprintf("%s…%s (%d bytes)", text[:60], text[len(text)-30:], len(text))
}
