//go:build e2e

package e2e

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
)

// coders are the content codings, by the name they have in a header.
var coders = map[string]func(io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"x-gzip":  func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"raw": func(w io.Writer) io.WriteCloser {
		f, err := flate.NewWriter(w, flate.DefaultCompression)
		if err != nil {
			panic(err) // the level is a constant
		}
		return f
	},
	"br": func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
}

// encode applies codings in the order a Content-Encoding header lists them.
func encode(b []byte, codings ...string) []byte {
	for _, c := range codings {
		var out bytes.Buffer
		w := coders[c](&out)
		w.Write(b)
		w.Close()
		b = out.Bytes()
	}
	return b
}

func codings(s *session) {
	ask := func(name, header string, body []byte) {
		s.ask(name, Reply{Body: body, Header: [][2]string{{"Content-Encoding", header}}}, nil)
		s.ask(name+", chunked", Reply{Body: body, Framing: FramingChunked, Header: [][2]string{{"Content-Encoding", header}}}, nil)
	}
	small := s.assets.tile
	for _, c := range []string{"gzip", "x-gzip", "deflate", "br"} {
		whole := encode(small, c)
		ask(c, c, whole)
		ask(strings.ToUpper(c), strings.ToUpper(c), whole)
		ask("space around "+c, " \t"+c+" ", whole)
		ask(c+" of nothing", c, encode(nil, c))
		ask(c+" without a byte", c, nil)
		ask(c+" that is none", c, small)
		for _, keep := range []int{1, 2, 5, 9, 10, 11, 18, 19, 20, 50, len(whole) / 2, len(whole) - 9, len(whole) - 8, len(whole) - 5, len(whole) - 4, len(whole) - 1} {
			ask(fmt.Sprintf("%s cut after %d of %d", c, keep, len(whole)), c, whole[:keep])
		}
		for _, at := range []int{0, 1, 2, 3, 4, 10, 12, 40, len(whole) / 2, len(whole) - 9, len(whole) - 6, len(whole) - 2, len(whole) - 1} {
			ask(fmt.Sprintf("%s with byte %d of %d changed", c, at, len(whole)), c, flip(whole, at))
		}
		ask(c+" and zeros", c, append(slices.Clone(whole), make([]byte, 20)...))
		ask(c+" and rubbish", c, append(slices.Clone(whole), "rubbish"...))
		ask(c+" and one byte", c, append(slices.Clone(whole), 'x'))
		ask(c+" twice in a row", c, append(slices.Clone(whole), whole...))
		ask(c+" and half of it again", c, append(slices.Clone(whole), whole[:len(whole)/2]...))
		ask(c+" and its first two bytes", c, append(slices.Clone(whole), whole[:2]...))
		s.ask(c+" in two lines", Reply{Body: encode(small, c, "gzip"), Header: [][2]string{{"Content-Encoding", c}, {"Content-Encoding", "gzip"}}}, nil)
		s.ask(c+" slowly", Reply{Body: whole, Within: 50 * time.Millisecond, Header: [][2]string{{"Content-Encoding", c}}}, nil)
		s.ask(c+" of a page", Reply{Body: encode([]byte("<html>"), c), Header: [][2]string{{"Content-Encoding", c}}}, nil)
		s.ask(c+" of a drawing", Reply{Body: encode(s.assets.svg, c), Header: [][2]string{{"Content-Encoding", c}}}, nil)
	}
	raw := encode(small, "raw")
	ask("raw deflate", "deflate", raw)
	ask("raw deflate cut", "deflate", raw[:len(raw)/2])
	ask("raw deflate and rubbish", "deflate", append(slices.Clone(raw), "rubbish"...))
	stored := storedDeflate(small)
	for pad := range 16 { // the unused bits of a stored block's first byte decide what Next.js takes it for
		stored[0] = byte(pad)<<4 | 1
		ask(fmt.Sprintf("stored deflate %x", stored[0]), "deflate", slices.Clone(stored))
	}
	chains := [][]string{
		{"gzip", "br"}, {"br", "gzip"}, {"deflate", "gzip"}, {"gzip", "gzip"}, {"gzip", "deflate", "br"}, {"gzip", "gzip", "gzip", "gzip"}, {"gzip", "br", "deflate", "x-gzip", "br"}, {"gzip", "gzip", "gzip", "gzip", "gzip", "gzip"}, {"br", "br", "br", "br", "br", "br", "br"},
	}
	for _, chain := range chains {
		header := strings.Join(chain, ", ")
		ask(header, header, encode(small, chain...))
		tight := strings.Join(chain, ",")
		ask(tight, tight, encode(small, chain...))
		ask(header+" in the wrong order", header, encode(small, append(slices.Clone(chain[1:]), chain[0])...))
	}
	for _, header := range []string{
		"", " ", ",", "identity", "IDENTITY", "none", "compress", "x-compress", "zstd", "aws-chunked", "utf-8", "binary", "gzip;q=1", "gzip deflate", "gzip,", ",gzip", "gzip,,gzip", "identity,gzip", "gzip,identity", "gzip, identity, gzip", "zstd, gzip", "gzip, zstd", "a,b,c,d,e", "a,b,c,d,e,f", ",,,,", ",,,,,", "gzip,gzip,gzip,gzip,gzip,identity", "\"gzip\"", "x-deflate", "brotli", "x-br", "deflate-raw", "g zip", "gzip\u00a0",
	} {
		s.ask(fmt.Sprintf("%q with plain bytes", header), Reply{Body: small, Header: [][2]string{{"Content-Encoding", header}}}, nil)
		s.ask(fmt.Sprintf("%q with gzip", header), Reply{Body: encode(small, "gzip"), Header: [][2]string{{"Content-Encoding", header}}}, nil)
	}
	s.ask("redirect with a coding", Reply{Status: 302, Body: []byte("x"), Header: [][2]string{{"Content-Encoding", "gzip"}, {"Location", s.serve("y.png", always(Reply{Body: small}))}}}, nil)
	s.ask("404 with a coding", Reply{Status: 404, Body: []byte("x"), Header: [][2]string{{"Content-Encoding", "gzip"}}}, nil)
}

// storedDeflate wraps b in one uncompressed deflate block.
func storedDeflate(b []byte) []byte {
	b = b[:min(len(b), 65535)]
	n := len(b)
	return append([]byte{1, byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)}, b...)
}
