package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var options = map[string]string{"--target": "http://a", "--limit": "0"}

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // a second time in most tests
	return j
}

func add(t *testing.T, j *Journal, records ...Record) {
	t.Helper()
	for _, r := range records {
		if err := j.Add(r); err != nil {
			t.Fatal(err)
		}
	}
}

func closed(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

var (
	one = Record{Key: "one", Bytes: 100, SourceBytes: 1000, Milliseconds: 30, State: "MISS", Type: "image/avif"}
	two = Record{Key: "two", Bytes: 7}
)

func TestGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	if len(j.Done) != 0 || j.Damaged != 0 {
		t.Fatalf("a new journal holds %v", j.Done)
	}
	add(t, j, one, two)
	closed(t, j)
	j = open(t, path)
	if want := map[string]Record{"one": one, "two": two}; !maps.Equal(j.Done, want) {
		t.Fatalf("got %v, want %v", j.Done, want)
	}
	later := one
	later.Bytes = 101
	add(t, j, later, Record{Key: "two", Gone: true})
	closed(t, j)
	if j = open(t, path); !maps.Equal(j.Done, map[string]Record{"one": later}) {
		t.Fatalf("got %v: the last record of a key counts, and none that was taken back", j.Done)
	}
}

func TestConcurrentAdds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 100 {
				if err := j.Add(Record{Key: fmt.Sprintf("%d-%d", i, n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	closed(t, j)
	if j = open(t, path); len(j.Done) != 800 || j.Damaged != 0 {
		t.Errorf("%d of 800 records, %d damaged lines", len(j.Done), j.Damaged)
	}
}

// Whatever length the file has when the machine stops, what comes before is there and what comes later is kept.
func TestCutAnywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	add(t, j, one, two)
	closed(t, j)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for n := range whole {
		if n > 0 && n <= checksumLen+1 {
			continue // one write is not cut that short; see TestForeign
		}
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		want := 0
		if n >= len(lines[0])+len(lines[1]) {
			want = 1
		}
		j := open(t, path)
		if len(j.Done) != want || j.Damaged != 0 {
			t.Fatalf("cut after %d bytes: %d records, want %d; %d damaged lines", n, len(j.Done), want, j.Damaged)
		}
		add(t, j, two)
		closed(t, j)
		if j = open(t, path); len(j.Done) != want+1 || j.Damaged != 0 {
			t.Fatalf("cut after %d bytes and written to: %v, %d damaged lines", n, j.Done, j.Damaged)
		}
		closed(t, j)
	}
}

func TestDamagedLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	add(t, j, one, two)
	closed(t, j)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Replace(whole, []byte(`"b":100`), []byte(`"b":900`), 1)
	if err := os.WriteFile(path, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	if j = open(t, path); !maps.Equal(j.Done, map[string]Record{"two": two}) || j.Damaged != 1 {
		t.Errorf("got %v, %d damaged lines", j.Done, j.Damaged)
	}
}

func TestMismatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	closed(t, open(t, path))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(path, map[string]string{"--target": "http://b", "--limit": "0", "--crawl": "x"})
	var m *MismatchError
	if !errors.As(err, &m) {
		t.Fatalf("got %v", err)
	}
	const want = `belongs to a run with other options: --crawl was "" and is "x", --target was "http://a" and is "http://b"`
	if m.Error() != want {
		t.Errorf("got %q, want %q", m, want)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
}

// A file that is something else is never written to.
func TestForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	for _, text := range []string{
		"x", "12345678", "precious notes\n", "00000000 {}\n", "12345678 {\"journal\":\"other", strings.Repeat("x", maxHeader+1),
		"12345678 {\"journal\":\"imgopt.prewarm.journal/1\",\"options\":{}}\n", // a wrong checksum
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, options); !errors.Is(err, ErrForeign) {
			t.Errorf("%.40q: got %v", text, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != text {
			t.Errorf("%.40q: the file was changed (%v)", text, err)
		}
	}
	if _, err := Open(t.TempDir(), options); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := Open("/dev/null", options); !errors.Is(err, ErrForeign) {
		t.Errorf("a device: got %v", err)
	}
}

func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	if _, err := Open(path, options); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	closed(t, j)
	closed(t, open(t, path))
}

// After a failure nothing more is written: a line behind a torn one would make that one a damaged line.
func TestFailsForGood(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "j"))
	closed(t, j)
	first := j.Add(one)
	if first == nil {
		t.Fatal("a closed journal takes records")
	}
	if second := j.Add(two); second != first {
		t.Errorf("got %v, then %v", first, second)
	}
}

func FuzzParse(f *testing.F) {
	head, err := encode(header{Journal: format, Options: options})
	if err != nil {
		f.Fatal(err)
	}
	line, err := encode(one)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Add(append(bytes.Clone(head), line...))
	f.Add(append(bytes.Clone(head), line[:20]...))
	f.Add(append(append(bytes.Clone(head), "garbage\n"...), line...))
	f.Add([]byte("precious notes\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrForeign) {
				t.Errorf("error %v", err)
			}
			return
		}
		if c.end > int64(len(data)) || c.end > 0 && data[c.end-1] != '\n' {
			t.Fatalf("ends at %d of %d", c.end, len(data))
		}
		if c.options == nil {
			return
		}
		// What is appended where the file ends is read, and nothing else changes.
		again, err := parse(bytes.NewReader(append(bytes.Clone(data[:c.end]), line...)))
		if err != nil {
			t.Fatal(err)
		}
		c.done[one.Key] = one
		if !maps.Equal(again.done, c.done) || again.damaged != c.damaged {
			t.Errorf("%v and %d damaged lines became %v and %d", c.done, c.damaged, again.done, again.damaged)
		}
	})
}
