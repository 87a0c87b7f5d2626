package handler

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"imgopt/validate"
)

// countingRules say what they were asked.
type countingRules struct {
	mu    sync.Mutex
	asked map[string]int
	err   error
}

func (c *countingRules) Check(query, accept string) (validate.Params, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked == nil {
		c.asked = map[string]int{}
	}
	c.asked[strings.Clone(query+"|"+accept)]++
	return validate.Params{URL: query, Href: query, Format: accept}, c.err
}

func (c *countingRules) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, v := range c.asked {
		n += v
	}
	return n
}

func TestMemo(t *testing.T) {
	rules := &countingRules{}
	m := newMemo(rules)
	buffer := []byte("url=a")
	for range 3 {
		if p, err := m.check(buffer, []byte("x")); err != nil || p.URL != "url=a" || p.Format != "x" {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if n := rules.total(); n != 1 {
		t.Errorf("the rules were asked %d times", n)
	}
	// Query and Accept are two things.
	for _, k := range [][2]string{{"url=a", "y"}, {"url=ax", ""}, {"url=", "ax"}, {"", "url=ax"}} {
		if p, _ := m.check([]byte(k[0]), []byte(k[1])); p.URL != k[0] || p.Format != k[1] {
			t.Errorf("%q: %+v", k, p)
		}
	}
	// The buffers are the caller's again.
	copy(buffer, "XXXXX")
	if p, _ := m.check([]byte("url=a"), []byte("x")); p.URL != "url=a" {
		t.Errorf("%+v", p)
	}
	if p, _ := m.check(buffer, []byte("x")); p.URL != "XXXXX" {
		t.Errorf("%+v", p)
	}
}

func TestMemoBounds(t *testing.T) {
	rules := &countingRules{}
	m := newMemo(rules)
	for i := range 3 * memoShards * memoPerShard {
		if _, err := m.check(fmt.Append(nil, "url=", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range m.shards {
		if n := len(m.shards[i].m); n > memoPerShard || n == 0 {
			t.Errorf("shard %d holds %d", i, n)
		}
	}
	held := func() int {
		n := 0
		for i := range m.shards {
			n += len(m.shards[i].m)
		}
		return n
	}
	before := held()
	// Neither what is long nor what is refused is kept.
	if _, err := m.check([]byte("long="+strings.Repeat("x", memoMaxKey)), nil); err != nil {
		t.Fatal(err)
	}
	rules.err = errors.New("refused")
	for i := range 10 {
		if _, err := m.check(fmt.Append(nil, "bad=", i), nil); err == nil {
			t.Fatal("no error")
		}
	}
	if n := held(); n != before {
		t.Errorf("%d entries, before %d", n, before)
	}
}

func TestMemoConcurrent(t *testing.T) {
	m := newMemo(&countingRules{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 3000 {
				q := fmt.Sprint("url=", (i*7+g)%6000)
				if p, err := m.check([]byte(q), []byte("a")); err != nil || p.URL != q {
					t.Errorf("%s: %+v, %v", q, p, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
