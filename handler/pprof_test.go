package handler

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestPprof(t *testing.T) {
	addr := startAdmin(t, AdminOptions{Pprof: true})
	for target, want := range map[string]string{
		"/debug/pprof/":                      "profile?debug=1",
		"/debug/pprof/goroutine?debug=1":     "goroutine profile: total",
		"/debug/pprof/symbol?0x1":            "num_symbols: 1",
		"/debug/pprof/cmdline":               os.Args[0],
		"/debug/pprof/trace?seconds=0.01":    "go 1.",
		"/debug/pprof/nothing":               "Unknown profile",
		"/debug/pprof/profile?seconds=61":    "seconds: want a number up to 60",
		"/debug/pprof/profile?seconds=-1":    "seconds: want a number up to 60",
		"/debug/pprof/trace?seconds=NaN":     "seconds: want a number up to 60",
		"/debug/pprof/heap?seconds=99999999": "seconds: want a number up to 60",
	} {
		got := send(t, addr, request("GET", target))
		status := 200
		switch {
		case strings.Contains(want, "seconds:"):
			status = 400
		case strings.Contains(target, "nothing"):
			status = 404
		}
		if got.StatusCode != status || !bytes.Contains(got.body, []byte(want)) {
			t.Errorf("%s: %d %.200q", target, got.StatusCode, got.body)
		}
	}
	if got := send(t, addr, request("GET", "/debug/pprof")); got.StatusCode != 302 || got.Header.Get("Location") != "pprof/" {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
	heap := send(t, addr, request("GET", "/debug/pprof/heap"))
	r, err := gzip.NewReader(bytes.NewReader(heap.body))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || !bytes.Contains(b, []byte("inuse_space")) {
		t.Errorf("%d bytes of a heap profile: %v", len(b), err)
	}
	for raw, status := range map[string]int{
		request("POST", "/debug/pprof/symbol"):                                                   405,
		request("HEAD", "/debug/pprof/"):                                                         405,
		request("GET", "/debug/pprof/", "Sec-Fetch-Site: cross-site"):                            403,
		strings.Replace(request("GET", "/debug/pprof/"), "Host: h", "Host: evil.example", 1):     403,
		strings.Replace(request("GET", "/debug/pprof/heap"), "Host: h", "Host: evil.example", 1): 403,
	} {
		if got := send(t, addr, raw); got.StatusCode != status || (status == 405) != (got.Header.Get("Allow") == "GET") {
			t.Errorf("%.30q: %d %v", raw, got.StatusCode, got.Header)
		}
	}
}

func TestPprofOff(t *testing.T) {
	addr := startAdmin(t, AdminOptions{})
	for _, target := range []string{"/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1"} {
		if got := send(t, addr, request("GET", target)); got.StatusCode != 404 || string(got.body) != textNoPprof+"\n" {
			t.Errorf("%s: %d %q", target, got.StatusCode, got.body)
		}
	}
}

// A profile does not keep a service that drains.
func TestPprofDrains(t *testing.T) {
	ready := NewReadiness()
	addr := startAdmin(t, AdminOptions{Pprof: true, Ready: ready})
	started := time.Now()
	timer := time.AfterFunc(20*time.Millisecond, ready.Drain) // before it begins, or after
	defer timer.Stop()
	if got := send(t, addr, request("GET", "/debug/pprof/trace?seconds=55")); got.StatusCode != 200 || time.Since(started) > 10*time.Second {
		t.Errorf("%d after %v", got.StatusCode, time.Since(started))
	}
}
