//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// togetherGroups test requests that meet: at the same time, and one after the other on one connection.
func togetherGroups() []group {
	return []group{
		{name: "concurrent", variant: "remote", run: concurrent},
		{name: "connection", variant: "remote", run: connections},
		{name: "connection", variant: "plain", run: connections},
		{name: "uncached", variant: "uncached", run: uncached},
	}
}

// concurrent sends the same cold request many times at once: each gets what the first gets.
func concurrent(s *session) {
	for name, reply := range map[string]Reply{
		"image": {Body: s.assets.tile}, "drawing": {Body: s.assets.svg}, "broken": {Body: s.assets.photo[:300]}, "404": {Status: 404}, "empty": {}, "no image": {Body: []byte("x")},
	} {
		reply.Before = 150 * time.Millisecond
		target := s.image(s.serve("x.png", always(reply)), 640, 75)
		var wg sync.WaitGroup
		for n := range 8 {
			header := []string{"Accept: */*"}
			if n%2 == 1 {
				header = []string{"Accept: image/webp"}
			}
			wg.Go(func() { s.get(fmt.Sprintf("%s %d", name, n), target, header...) })
		}
		wg.Wait()
		s.get(name+" afterwards", target)
	}
}

// connections sends several requests on one connection: each answer must end where the next begins.
func connections(s *session) {
	good := s.image("/assets/tile.png", 640, 75)
	svg := s.image(s.serve("x.svg", always(Reply{Body: s.assets.svg})), 640, 75)
	head := func(target string, header ...string) Request {
		return Request{Method: http.MethodHead, Target: target, Header: header}
	}
	get := func(target string, header ...string) Request { return Request{Target: target, Header: header} }
	sequences := map[string][]Request{
		"hits":               {get(good), get(good), get(good)},
		"HEAD and GET":       {head(good), get(good), head(good), head(good), get(good)},
		"errors":             {get(s.target("")), get(s.target("url=x")), get(good), get(s.target("url=/%")), get(good)},
		"HEAD of errors":     {head(s.target("")), get(good), head(s.image("/nowhere.png", 640, 75)), get(good)},
		"not modified":       {get(good, "If-None-Match: *"), get(good), head(good, "If-None-Match: *"), get(good)},
		"compressed":         {get(svg, "Accept-Encoding: gzip"), get(svg), head(svg, "Accept-Encoding: gzip"), get(good, "Accept-Encoding: gzip"), get(svg, "Accept-Encoding: deflate"), get(good)},
		"cold in between":    {get(good), get(s.image(s.serve("x.png", always(Reply{Body: s.assets.tile, Before: 100 * time.Millisecond})), 640, 75)), get(good)},
		"explicit keeping":   {{Proto: "HTTP/1.0", Target: good, Header: []string{"Connection: keep-alive"}}, get(good)},
		"other host headers": {get(good, "Host: a.example"), get(good, "Host: b.example"), get(good)},
	}
	s.get("warm up", good)
	s.get("warm up svg", svg)
	for name, requests := range sequences {
		for _, pipelined := range []bool{false, true} {
			label := name
			if pipelined {
				label += ", pipelined"
			}
			want, errWant := converse(s.ctx, s.next.addr, requests, pipelined)
			got, errGot := converse(s.ctx, s.subject.addr, requests, pipelined)
			if errWant != nil || errGot != nil {
				s.fail(label, "next: %v, subject: %v", errWant, errGot)
				continue
			}
			for i := range requests {
				r := Result{Group: s.group, Variant: s.variant, Name: fmt.Sprintf("%s, request %d", label, i+1)}
				if requests[i].Method == http.MethodHead && len(got[i].Body) > 0 {
					s.fail(r.Name, "a body for HEAD")
				}
				// What was cold on one side by then may be a hit on the other.
				got[i].Header["X-Nextjs-Cache"] = want[i].Header["X-Nextjs-Cache"]
				if got[i].Header["X-Nextjs-Cache"] == nil {
					delete(got[i].Header, "X-Nextjs-Cache")
				}
				s.rec.Judge(r, want[i], got[i], nil)
			}
		}
	}
}

// converse sends requests on one connection, one after the other's answer or all at once, and returns the answers.
func converse(ctx context.Context, addr string, requests []Request, pipelined bool) ([]*Response, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(15 * time.Second))
	br := bufio.NewReader(conn)
	kept := make([]Request, len(requests))
	for i, r := range requests {
		if !r.has("Connection") {
			r.Header = append([]string{"Connection: keep-alive"}, r.Header...)
		}
		kept[i] = r
	}
	if pipelined {
		var all []byte
		for _, r := range kept {
			all = append(all, r.bytes()...)
		}
		if _, err := conn.Write(all); err != nil {
			return nil, err
		}
	}
	var answers []*Response
	for i, r := range kept {
		if !pipelined {
			if _, err := conn.Write(r.bytes()); err != nil {
				return nil, fmt.Errorf("request %d: %w", i+1, err)
			}
		}
		resp, err := readResponse(br, r.Method)
		if err != nil {
			return nil, fmt.Errorf("answer %d: %w", i+1, err)
		}
		answers = append(answers, resp)
	}
	return answers, nil
}

// uncached: without a disk cache every answer of Next.js is a miss.
func uncached(s *session) {
	sources := map[string]string{
		"local": "/assets/tile.png", "passed through": "/assets/moving.gif",
		"remote": s.serve("x.png", always(Reply{Body: s.assets.tile, Header: [][2]string{{"Cache-Control", "max-age=99999"}}})),
		"svg":    s.serve("x.svg", always(Reply{Body: s.assets.svg})),
	}
	for name, src := range sources {
		target := s.image(src, 640, 75)
		s.get(name, target)
		for range 2 {
			s.do(name+" again", Request{Target: target}, noDisk)
		}
		s.do(name+" HEAD", Request{Method: http.MethodHead, Target: target}, noDisk)
		s.get(name+" conditional", target, "If-None-Match: *")
	}
	s.get("missing", s.image("/nowhere.png", 640, 75))
	s.get("a width that is not configured", s.image("/assets/tile.png", 64, 75))
}
