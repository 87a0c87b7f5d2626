package handler

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"imgopt/failure"
	"imgopt/validate"
)

// logBuffer collects what a logger writes.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// A request is logged after it was counted and before it is answered, so that the line is there with the answer.
func TestAccessLog(t *testing.T) {
	cases := []struct {
		name, target string
		images       Images
		want, not    []string
	}{
		{"hit", aJPG, hits(testEntry(1234)),
			[]string{"level=INFO", "method=GET", "path=/_next/image", "status=200", "bytes=1234", "reason=ok", "href=/a.jpg", "width=64", "quality=75", "cache=HIT", "coalesced=false", "duration="}, []string{"error="}},
		{"refused", "/_next/image?url=http%3A%2F%2Fjoe%3Asecret%40evil.example%2Fa&w=64&q=75", hits(testEntry(1)),
			[]string{"status=400", "reason=url_not_allowed", "href=http://xxxxx@evil.example/a", "error="}, []string{"secret", "joe", "cache="}},
		{"private cause", aJPG, &fakeImages{get: func(context.Context, validate.Params) (Result, error) {
			return Result{}, failure.Wrap(502, "upstream", "text", errors.New(`Get "http://joe:secret@h/x?X-Amz-Signature=abc&w=1": refused`))
		}}, []string{"status=502", "reason=upstream", "http://xxxxx@h/x?X-Amz-Signature=xxxxx&w=1", "refused"}, []string{"secret", "abc"}},
		{"own fault", aJPG, &fakeImages{get: func(context.Context, validate.Params) (Result, error) { return Result{}, errors.New("bug") }},
			[]string{"level=ERROR", "status=500", "reason=internal", "bug"}, nil},
		{"elsewhere", "/x%0ay", hits(testEntry(1)), []string{"status=404", "path=/x%0ay", "reason=not_found"}, []string{"href="}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			log := &logBuffer{}
			send(t, start(t, c.images, func(o *Options) { o.Log = log.logger() }), request("GET", c.target))
			line := log.String()
			if strings.Count(line, "\n") != 1 {
				t.Errorf("not one line: %q", line)
			}
			for _, s := range c.want {
				if !strings.Contains(line, s) {
					t.Errorf("no %s in %s", s, line)
				}
			}
			for _, s := range c.not {
				if strings.Contains(line, s) {
					t.Errorf("%s in %s", s, line)
				}
			}
		})
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"/a.jpg":                         "/a.jpg",
		"https://h/a@b.jpg":              "https://h/a@b.jpg",
		"https://u:p@h/a@b.jpg":          "https://xxxxx@h/a@b.jpg",
		"https://u@h":                    "https://xxxxx@h",
		"https://u:p@p@h/":               "https://xxxxx@h/",
		"//u:p@h/":                       "//xxxxx@h/",
		`Get "http://u:p@h/": EOF`:       `Get "http://xxxxx@h/": EOF`,
		"a http://u:p@h b http://v:q@i":  "a http://xxxxx@h b http://xxxxx@i",
		"mail@example.com":               "mail@example.com",
		"/a?sig=x&w=1":                   "/a?sig=xxxxx&w=1",
		"/a?w=1&X-Amz-Signature=x#f":     "/a?w=1&X-Amz-Signature=xxxxx#f",
		"/a?X-Goog-Credential=x%2Fy&b=c": "/a?X-Goog-Credential=xxxxx&b=c",
		"/a?access_token=x":              "/a?access_token=xxxxx",
		"/a?Tok%65n=x":                   "/a?Tok%65n=xxxxx",
		"/a?design=x&keyboard=y":         "/a?design=x&keyboard=y",
		"/a?s=x":                         "/a?s=xxxxx",
		"/a?token":                       "/a?token",
		"?a=b&":                          "?a=b&",
		"http://u:p@h/?password=a&x=b c": "http://xxxxx@h/?password=xxxxx&x=b c",
	} {
		if got := redact(in); got != want {
			t.Errorf("redact(%q) = %q, want %q", in, got, want)
		}
	}
	if got := loggable(strings.Repeat("é", 2000)); len(got) > maxLogged+len("…") || !strings.HasSuffix(got, "é…") {
		t.Errorf("loggable: %d bytes", len(got))
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("http://u:secret@h/?sig=secret&a=b")
	f.Add("//@?&=#")
	f.Fuzz(func(t *testing.T, s string) {
		once := redact("https://user:secret@host/" + s)
		if strings.Contains(once, "user:secret@") {
			t.Errorf("%q", once)
		}
	})
}
