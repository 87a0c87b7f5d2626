//go:build e2e

package stress

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// killRequests are under way at once while their codecs are killed.
const killRequests = 500

// variant is one kind of work in the test of kills.
type variant struct {
	file   string
	width  int
	accept string
}

// variants take from 5 to 100 ms, so that signals arrive at rest, at the beginning, in the middle and at the end.
var variants = []variant{
	{"photo-640.jpg", 256, acceptWebP},
	{"photo-640.jpg", 640, acceptWebP},
	{"photo-face.jpg", 64, acceptWebP},
	{"photo.jpg", 640, acceptWebP},
	{"photo-641.jpg", 384, ""},
	{"photo-640.jpg", 256, "image/avif,image/webp,*/*"},
}

// numbered is a JPEG with a comment behind its first marker: other bytes, the same picture.
func numbered(jpeg []byte, n int) []byte {
	comment := fmt.Appendf(nil, "stress %08d", n)
	head := binary.BigEndian.AppendUint16([]byte("\xff\xd8\xff\xfe"), uint16(len(comment)+2))
	return bytes.Join([][]byte{head, comment, jpeg[2:]}, nil)
}

// TestKilledCodecs kills and stops codec processes, at random moments, beneath 500 requests under way at once. Each of
// them is answered with the very bytes of an undisturbed run, and no image is remembered as one that kills.
func TestKilledCodecs(t *testing.T) {
	o := startOrigin(t, "127.0.0.1")
	var sources [][]byte
	for _, v := range variants {
		sources = append(sources, testImage(t, v.file))
	}
	flags := append(small.flags(t), "--origin=http://"+o.addr, "--images.formats=image/avif,image/webp", "--timeout=10m", "--transform.timeout=20s",
		"--transform.queue=1000", "--log.level=info")
	s := startService(t, append(flags, optional(t, "--fetch.hostShare=1")...)...)
	client := newClient(t, killRequests, 2*time.Minute)
	request := func(n int) (*answer, error) {
		v := variants[n%len(variants)]
		key := strconv.Itoa(n)
		o.put(key, served{body: numbered(sources[n%len(variants)], n)})
		defer o.drop(key)
		header := []string{}
		if v.accept != "" {
			header = append(header, "Accept", v.accept)
		}
		return ask(t.Context(), client, s.image("/"+key+"/photo.jpg", v.width), header...)
	}
	// Undisturbed.
	want := make([][sha256.Size]byte, len(variants))
	for i := range variants {
		a, err := request(i)
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%+v: %v %v", variants[i], a, err)
		}
		want[i] = sha256.Sum256(a.body)
	}
	before, started := s.resting(t), s.metrics(t)

	var answered atomic.Int64
	signals := torture(s, &answered)
	began := time.Now()
	var clients sync.WaitGroup
	var mu sync.Mutex
	bad := 0
	for n := len(variants); n < len(variants)+killRequests; n++ {
		clients.Go(func() {
			a, err := request(n)
			took := time.Since(began)
			answered.Add(1)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && a.status == http.StatusOK && sha256.Sum256(a.body) == want[n%len(variants)] {
				return
			}
			if bad++; bad <= 10 {
				t.Errorf("request %d, %+v, after %v: not the image of an undisturbed run: %v %v", n, variants[n%len(variants)], took, a, err)
			}
		})
	}
	clients.Wait()
	took := time.Since(began)
	signals.end()
	if bad > 0 {
		t.Logf("answers by reason:\n%s", s.metrics(t).reasons())
	}
	kills, stops := signals.kills, signals.stops
	s.mustRun(t)
	if kills < killRequests/20 || stops == 0 {
		t.Errorf("%d processes killed and %d stopped: nothing was tested", kills, stops)
	}

	// Everything is as it was. What was killed or stopped at rest is replaced although there is no job.
	eventually(t, "all codec processes run", func() bool { return s.codecsRunning() == int(small.Workers) })
	for i := range variants {
		n := 1_000_000*len(variants) + i
		if a, err := request(n); err != nil || a.status != http.StatusOK || sha256.Sum256(a.body) != want[i] {
			t.Errorf("afterwards: %v %v", a, err)
		}
	}
	client.CloseIdleConnections()
	s.descriptorsBack(t, before, o)
	after := s.metrics(t)
	count := func(series string, labels ...string) float64 {
		return after.sum(series, labels...) - started.sum(series, labels...)
	}
	if n := count("imgopt_transform_fallbacks_total"); n != 0 {
		t.Errorf("%v sources were sent on as they were", n)
	}
	if n := count("imgopt_codec_jobs_total", `outcome="refused"`); n != 0 {
		t.Errorf("%v sources were refused as ones that kill", n)
	}
	r := newReport("kills")
	r.line("%d requests at once, answered within %v: %d others than in an undisturbed run.", killRequests, took.Round(time.Millisecond), bad)
	lost := count("imgopt_codec_replaced_total", `reason="lost"`)
	r.table([][]string{
		{"codec processes", "count"},
		{"killed (SIGKILL)", strconv.Itoa(kills)}, {"stopped (SIGSTOP)", strconv.Itoa(stops)},
		{"replaced", strconv.FormatFloat(lost, 'f', 0, 64)},
		{"jobs crashed", strconv.FormatFloat(count("imgopt_codec_jobs_total", `outcome="crashed"`), 'f', 0, 64)},
	})
	r.Values = map[string]any{"requests": killRequests, "wrong": bad, "killed": kills, "stopped": stops, "replaced": lost, "seconds": took.Seconds()}
	r.finish(t)
}

// signalEvery is the average number of answers between two signals: often enough to hit a fifth of all jobs, seldom
// enough that the work goes on, on a machine of any speed.
const signalEvery = 4

// maxHits is how often a signal is aimed at the same source: no supervisor kills the same job again and again, and a
// source that is always there when a process dies is refused in the end, as it must be.
const maxHits = 3

// torturer sends signals to codec processes. A process that was stopped stays so: whoever waits for it waits for ever.
type torturer struct {
	s            *service
	answered     *atomic.Int64
	stop         chan struct{}
	done         sync.WaitGroup
	kills, stops int
	hits         map[string]int // by source
}

// torture sends signals until end is called.
func torture(s *service, answered *atomic.Int64) *torturer {
	k := &torturer{s: s, answered: answered, stop: make(chan struct{}), hits: map[string]int{}}
	k.done.Go(func() {
		r := rand.New(rand.NewPCG(1, 1))
		for k.wait(r) {
			k.signal(r)
		}
	})
	return k
}

// end stops the signals.
func (k *torturer) end() {
	close(k.stop)
	k.done.Wait()
}

// wait lets some answers pass, or two seconds, and then a moment more; it reports false at the end.
func (k *torturer) wait(r *rand.Rand) bool {
	next := k.answered.Load() + int64(1+r.IntN(2*signalEvery-1))
	for began := time.Now(); k.answered.Load() < next && time.Since(began) < 2*time.Second; {
		select {
		case <-k.stop:
			return false
		case <-time.After(time.Millisecond):
		}
	}
	select {
	case <-k.stop:
		return false
	case <-time.After(time.Duration(r.IntN(20_000)) * time.Microsecond):
		return true
	}
}

// signal kills or stops a random process.
func (k *torturer) signal(r *rand.Rand) {
	pids := k.s.children()
	if len(pids) == 0 {
		return
	}
	pid := pids[r.IntN(len(pids))]
	source := sourceIn(pid)
	if k.hits[source] >= maxHits {
		return
	}
	// Signals fail where the process has ended meanwhile.
	if r.IntN(5) == 0 {
		if syscall.Kill(pid, syscall.SIGSTOP) == nil {
			k.stops++
			k.hits[source]++
		}
	} else if syscall.Kill(pid, syscall.SIGKILL) == nil {
		k.kills++
		k.hits[source]++
	}
}

// sourceIn tells the source in a codec process's memory, or the last one, by the number in it. Where that cannot be
// seen it is as if it were another one each time.
func sourceIn(pid int) string {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // the pattern is valid
	for _, file := range files {
		if target, err := os.Readlink(file); err != nil || !strings.Contains(target, "memfd:imgopt-source") {
			continue
		}
		f, err := os.Open(file)
		if err != nil {
			break
		}
		defer f.Close()
		var head [32]byte
		if _, err := f.ReadAt(head[:], 0); err == nil {
			return string(head[:])
		}
	}
	return fmt.Sprint(pid, time.Now().UnixNano())
}

// codecsRunning counts the codec processes that are neither stopped nor at their end.
func (s *service) codecsRunning() int {
	n := 0
	for _, pid := range s.children() {
		if stateOf(pid) != 'T' {
			n++
		}
	}
	return n
}

// TestKilledService kills the service itself, at work: none of its codec processes survives it, stopped ones included.
func TestKilledService(t *testing.T) {
	o := startOrigin(t, "127.0.0.1")
	o.put("photo", served{body: testImage(t, "photo.jpg")})
	for round := range 3 {
		s := startService(t, append(small.flags(t), "--origin=http://"+o.addr)...)
		codecs := s.children()
		if len(codecs) != int(small.Workers) {
			t.Fatalf("codec processes: %v", codecs)
		}
		var clients sync.WaitGroup
		for i := range 8 {
			clients.Go(func() {
				if a, err := get(s.image(fmt.Sprintf("/photo/%d-%d.jpg", round, i), 1920)); err == nil && a.status != http.StatusOK {
					t.Errorf("an answer of a service that is being killed: %v", a)
				}
			})
		}
		eventually(t, "a codec works", func() bool { return s.metrics(t).sum("imgopt_codec_processes", `state="busy"`) > 0 })
		if round == 1 {
			if err := syscall.Kill(codecs[0], syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = s.Wait() // it was killed
		for _, pid := range codecs {
			if err := waitFor(5*time.Second, func() bool { return gone(pid) }); err != nil {
				t.Errorf("codec process %d outlives the service: %v", pid, err)
			}
		}
		clients.Wait()
	}
}
