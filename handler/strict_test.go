package handler

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
)

// strictRow is something written on a connection, and what Node made of it: see testdata/strict.mjs.
type strictRow struct {
	Name string
	Raw  []struct {
		Text  string // base64
		Times int    // 0: once
	}
	// Statuses are Node's answers, Closed is whether it then closed the connection, and Requests is how many requests
	// it took the bytes for.
	Statuses []int
	Closed   bool
	Requests int
}

// stricter are the requests that Node takes and this server does not, each with the status.
var stricter = map[string]struct {
	status int
	why    string
}{
	"bare LF first":                {400, "no line ends in LF alone, not even an empty one"},
	"two spaces before the target": {400, "RFC 9112, 3: one space"},
	"two spaces after the target":  {400, "RFC 9112, 3: one space"},
	"HTTP/2.0":                     {400, "a version that is not spoken"},
	"ICE":                          {400, "a protocol that is not spoken"},
	"asterisk":                     {404, "the endpoint is a path"},
	"OPTIONS asterisk":             {404, "the endpoint is a path"},
	"two Hosts":                    {400, "RFC 9112, 3.2"},
	"two equal Hosts":              {400, "RFC 9112, 3.2"},
	"Host with a space":            {400, "RFC 9112, 3.2"},
	"Host with a slash":            {400, "RFC 9112, 3.2"},
	"Host with user":               {400, "RFC 9112, 3.2"},
	"length with a tab before":     {400, "fasthttp's number has no tab"},
	"length with a body":           {413, "bodies are refused"},
	"length in other case":         {413, "bodies are refused"},
	"chunked with a body":          {413, "bodies are refused"},
	"identity":                     {400, "RFC 9112, 6.1: a coding that is not known"},
	"gzip, chunked":                {400, "RFC 9112, 6.1: a coding that is not known"},
	"xchunked":                     {400, "RFC 9112, 6.1: a coding that is not known"},
	"chunked with a parameter":     {400, "RFC 9112, 6.1: a coding that is not known"},
	"chunked quoted":               {400, "RFC 9112, 6.1: a coding that is not known"},
	"empty coding":                 {400, "RFC 9112, 6.1: a coding that is not known"},
	"chunk size with bare LF":      {400, "no line ends in LF alone"},
	"chunk size with plus":         {400, "no number"},
	"empty lines without end":      {0, "the time and room for a request are limited: closed without an answer"},
}

// answered are the requests that Node's parser ends the connection over, while here they are whole requests for
// something that is not there: the next one is answered.
var answered = map[string]int{"unknown method": 405, "method in lower case": 405}

// What Node refuses is refused, and the connection closed, so that nothing after it is taken for a request; and no
// bytes are more requests than they are to Node.
func TestStrict(t *testing.T) {
	addr := start(t, hits(testEntry(10)), nil)
	used := map[string]bool{}
	for _, row := range golden[strictRow](t, "strict.json") {
		t.Run(row.Name, func(t *testing.T) {
			var raw []byte
			for _, p := range row.Raw {
				raw = append(raw, bytes.Repeat(fromBase64(t, p.Text), max(p.Times, 1))...)
			}
			statuses := exchange(t, addr, raw)
			first := 0
			if len(statuses) > 0 {
				first = statuses[0]
			}
			if want, ok := answered[row.Name]; ok {
				used[row.Name] = true
				if first != want {
					t.Errorf("%v, want %d first", statuses, want)
				}
				return
			}
			if len(statuses) > max(row.Requests, 1) {
				t.Errorf("%v: Node found %d requests", statuses, row.Requests)
			}
			if want, ok := stricter[row.Name]; ok {
				used[row.Name] = true
				if first != want.status || len(statuses) > 1 && first != http.StatusNotFound {
					t.Errorf("%v, want %d (%s)", statuses, want.status, want.why)
				}
				return
			}
			switch {
			case row.Requests == 0 || row.Statuses[0] != http.StatusOK:
				if len(statuses) != 1 || first < 400 || first > 499 {
					t.Errorf("%v; Node refuses it: %v", statuses, row.Statuses)
				}
			case first != http.StatusOK:
				t.Errorf("%v; Node takes it: %v", statuses, row.Statuses)
			}
		})
	}
	if len(used) != len(stricter)+len(answered) {
		t.Errorf("only %d of the differences are in the table", len(used))
	}
}

// exchange writes raw and then nothing more, and returns the statuses of all answers until the server closes.
func exchange(t *testing.T, addr string, raw []byte) (statuses []int) {
	t.Helper()
	c := dial(t, addr)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = c.Write(raw) // it may be refused before all of it is sent
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	r := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is still open")
			}
			break
		}
		_, _ = io.Copy(io.Discard, res.Body)
		statuses = append(statuses, res.StatusCode)
	}
	<-sent
	return statuses
}
