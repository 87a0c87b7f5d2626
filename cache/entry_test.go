package cache

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestState(t *testing.T) {
	e := &Entry{ExpiresAt: noon}
	for _, tt := range []struct {
		e    *Entry
		now  time.Time
		want State
	}{
		{nil, noon, Miss},
		{e, noon.Add(-time.Hour), Hit},
		{e, noon, Hit}, // isStale: now > expireAt
		{e, noon.Add(1), Stale},
		{&Entry{}, noon, Stale},
	} {
		if got := tt.e.State(tt.now); got != tt.want {
			t.Errorf("State(%v): got %s, want %s", tt.now, got, tt.want)
		}
	}
}

// Origins that count in milliseconds say a thousand years.
func TestExpiryDoesNotOverflow(t *testing.T) {
	for _, maxAge := range []int64{31536000000, 1 << 62, 1<<63 - 1} {
		if got := Expiry(noon, maxAge, time.Hour); got.Before(noon.AddDate(99, 0, 0)) {
			t.Errorf("max-age %d: fresh until %v", maxAge, got)
		}
	}
}

func TestExpiry(t *testing.T) {
	for _, tt := range []struct{ maxAge, minimum, want time.Duration }{
		{0, 4 * time.Hour, 4 * time.Hour},
		{time.Hour, 4 * time.Hour, 4 * time.Hour},
		{5 * time.Hour, 4 * time.Hour, 5 * time.Hour},
		{time.Minute, 0, time.Minute},
		{-time.Minute, 0, 0},
	} {
		if got := Expiry(noon, int64(tt.maxAge/time.Second), tt.minimum); !got.Equal(noon.Add(tt.want)) {
			t.Errorf("Expiry(%v, %v): got %v later", tt.maxAge, tt.minimum, got.Sub(noon))
		}
	}
}

// full returns an entry in which no field is zero.
func full(t *testing.T) *Entry {
	t.Helper()
	e := &Entry{
		Href: "/a.jpg", Body: []byte("body"), ContentType: "image/avif", ETag: "e", UpstreamETag: "u", SourceETag: `"s"`,
		SourceLastModified: "Sat, 21 Nov 2026 12:00:00 GMT", MaxAge: 3600, StoredAt: noon, ExpiresAt: noon.Add(time.Hour), OriginalSize: 7, Mark: 9,
	}
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() && v.Field(i).IsZero() {
			t.Fatalf("the test's entry lacks %s", v.Type().Field(i).Name)
		}
	}
	return e
}

func TestRenewed(t *testing.T) {
	old := full(t)
	old.SetPrepared("headers")
	later := noon.Add(2 * time.Hour)
	e := old.Renewed(later, 60, time.Hour)
	if e.MaxAge != 60 || !e.StoredAt.Equal(later) || !e.ExpiresAt.Equal(later.Add(time.Hour)) {
		t.Errorf("freshness: got %v, %v, %v", e.MaxAge, e.StoredAt, e.ExpiresAt)
	}
	if e.Prepared() != nil {
		t.Error("prepared headers with the old max-age came along")
	}
	// everything else is the old entry's, also what may be added to Entry one day
	fresh := map[string]bool{"MaxAge": true, "StoredAt": true, "ExpiresAt": true}
	a, b := reflect.ValueOf(old).Elem(), reflect.ValueOf(e).Elem()
	for i := range a.NumField() {
		if f := a.Type().Field(i); f.IsExported() && !fresh[f.Name] && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			t.Errorf("%s: got %v, want %v", f.Name, b.Field(i), a.Field(i))
		}
	}
	if &e.Body[0] != &old.Body[0] {
		t.Error("the body was copied")
	}
}

func TestRetained(t *testing.T) {
	for _, tt := range []struct{ maxAge, minimum, wantAge, wantLife time.Duration }{
		{0, 0, 3 * time.Second, 3 * time.Second},
		{time.Second, 0, 3 * time.Second, 3 * time.Second},
		{10 * time.Second, 0, 10 * time.Second, 10 * time.Second},
		{4 * time.Hour, 0, 30 * time.Second, 30 * time.Second},
		{4 * time.Hour, 4 * time.Hour, 30 * time.Second, 4 * time.Hour},
	} {
		e := full(t)
		e.MaxAge = int64(tt.maxAge / time.Second)
		got := e.Retained(noon.Add(time.Hour), tt.minimum)
		if got.MaxAge != int64(tt.wantAge/time.Second) || got.ExpiresAt.Sub(noon.Add(time.Hour)) != tt.wantLife {
			t.Errorf("Retained(%v, %v): got max-age %v, fresh for %v", tt.maxAge, tt.minimum, got.MaxAge, got.ExpiresAt.Sub(got.StoredAt))
		}
	}
}

func TestPreparedFirstWins(t *testing.T) {
	e := &Entry{}
	if e.Prepared() != nil {
		t.Fatal("a new entry has something prepared")
	}
	var wg sync.WaitGroup
	got := make([]any, 8)
	for i := range got {
		wg.Go(func() { got[i] = e.SetPrepared(&i) })
	}
	wg.Wait()
	for i, v := range got {
		if v == nil || v != e.Prepared() {
			t.Errorf("caller %d got %v, the entry has %v", i, v, e.Prepared())
		}
	}
}

func TestNewerThan(t *testing.T) {
	for _, tt := range []struct {
		stored, expires time.Duration // relative to the other entry's
		want            bool
	}{
		{0, 0, false},
		{1, -time.Hour, true}, // younger with a shorter life
		{-1, time.Hour, false},
		{0, 1, true},
		{0, -1, false},
	} {
		e := &Entry{StoredAt: noon.Add(tt.stored), ExpiresAt: noon.Add(tt.expires)}
		if got := e.newerThan(&Entry{StoredAt: noon, ExpiresAt: noon}); got != tt.want {
			t.Errorf("newerThan(%v, %v): got %v", tt.stored, tt.expires, got)
		}
	}
}

// The memory tier's limit means heap: what the entries are weighed at must be what they take.
func TestFootprintIsHeap(t *testing.T) {
	for _, size := range []int{4 << 10, 10_000, 45_000, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			n := 32 << 20 / size
			m, err := NewMemory(1 << 30)
			if err != nil {
				t.Fatal(err)
			}
			before := heapInUse()
			for i := range n {
				e := full(t)
				e.Href = strings.Repeat("x", 200)
				e.Body = make([]byte, size)
				e.SetPrepared(new([700]byte))
				if err := m.Put(t.Context(), Key{byte(i), byte(i >> 8)}, e); err != nil {
					t.Fatal(err)
				}
			}
			real, weighed := float64(heapInUse()-before), float64(m.Stats().Bytes)
			if r := real / weighed; r > 1.05 || r < 0.75 {
				t.Errorf("%d entries take %.0f bytes of heap and are weighed at %.0f", n, real, weighed)
			}
			runtime.KeepAlive(m)
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
