package jobs

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"imgopt/failure"
)

func someRecord() *record {
	spec := Spec{Href: "https://example.com/ä?a=\"b\"&c=<d>", Absolute: true, Width: 640, Quality: 75, Format: "image/avif"}
	at := time.Date(2026, 11, 21, 19, 20, 0, 123456789, time.UTC)
	return &record{
		Version: "1",
		Item: Item{Job: Job{Key: KeyOf("1", spec), Kind: Revalidate, Spec: spec, Attempt: 2, Priority: Background},
			EnqueuedAt: at},
	}
}

func encoded(t testing.TB, r *record) []byte {
	t.Helper()
	b, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordRoundTrip(t *testing.T) {
	plain := someRecord()
	leased := someRecord()
	leased.Owner, leased.Token, leased.Expires = rand.Text(), "17", leased.Item.EnqueuedAt.Add(time.Minute)
	paused := someRecord()
	paused.Item.Spec.Deployment = "v1"
	paused.NotBefore = paused.Item.EnqueuedAt.Add(time.Second)
	binary := someRecord()
	binary.Item.Spec.Href = "/\xff\xfe.png\n"
	dead := someRecord()
	dead.Failure, dead.FailedAt = failure.Wrap(502, "retries_exhausted", "text", errors.New("cause")), dead.Item.EnqueuedAt
	for name, r := range map[string]*record{"plain": plain, "leased": leased, "paused": paused, "binary": binary, "dead": dead} {
		back, err := decodeRecord(encoded(t, r))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(back, r) {
			t.Errorf("%s: %+v came back as %+v", name, r, back)
		}
	}
	if text := string(encoded(t, plain)); !strings.Contains(text, `"width": 640`) || !strings.Contains(text, `"kind": "revalidate"`) {
		t.Errorf("not for people to read: %s", text)
	}
}

// seal puts the right head before a body, so that tests reach what is behind the checksum.
func seal(body string) []byte {
	return fmt.Appendf(nil, "%s%08x\n%s", recordMagic, crc32.Checksum([]byte(body), castagnoli), body)
}

func TestRecordRefuses(t *testing.T) {
	good := encoded(t, someRecord())
	_, body, _ := bytes.Cut(good, []byte("\n"))
	with := func(old, new string) []byte {
		s := string(body)
		if !strings.Contains(s, old) {
			t.Fatalf("the record lacks %q: %s", old, s)
		}
		return seal(strings.Replace(s, old, new, 1))
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-5] ^= 4
	for name, b := range map[string][]byte{
		"empty":            nil,
		"no head":          body,
		"other format":     bytes.Replace(good, []byte("imgopt-job 1"), []byte("imgopt-job 2"), 1),
		"truncated":        good[:len(good)-1],
		"flipped":          flipped,
		"too long":         append(bytes.Clone(good), make([]byte, recordMax)...),
		"no JSON":          seal("x"),
		"no object":        seal("[]"),
		"two":              seal(string(body) + string(body)),
		"unknown field":    with(`"width"`, `"depth"`),
		"wrong type":       with(`640`, `"640"`),
		"fraction":         with(`640`, `640.5`),
		"huge":             with(`640`, `1e300`),
		"unknown kind":     with(`revalidate`, `other`),
		"short key":        with(`"key": "`, `"key": "0`),
		"negative attempt": with(`"attempt": 2`, `"attempt": -1`),
		"no time":          with(`"enqueuedAt": "2026-11-21T19:20:00.123456789Z"`, `"enqueuedAt": "0001-01-01T00:00:00Z"`),
		"owner only":       with(`"attempt": 2`, `"attempt": 2, "owner": "`+rand.Text()+`"`),
		"token only":       with(`"attempt": 2`, `"attempt": 2, "token": "1"`),
		"end only":         with(`"attempt": 2`, `"attempt": 2, "expires": "2026-11-21T19:20:00Z"`),
		"owner is a path":  with(`"attempt": 2`, `"attempt": 2, "owner": "../../../../../../etc/pass", "token": "1", "expires": "2026-11-21T19:20:00Z"`),
		"href twice":       with(`"absolute"`, `"hrefBytes": "/w==", "absolute"`),
	} {
		if r, err := decodeRecord(b); err == nil {
			t.Errorf("%s: decoded as %+v", name, r)
		}
	}
}

// FuzzDecodeRecord: any bytes are refused or mean one record, which encodes to something that means the same.
func FuzzDecodeRecord(f *testing.F) {
	f.Add(encoded(f, someRecord()), false)
	leased := someRecord()
	leased.Owner, leased.Token, leased.Expires = "ABCDEFGHIJKLMNOPQRSTUVWXY2", "17", leased.Item.EnqueuedAt
	leased.Item.Spec.Href = "\xff"
	leased.Failure = failure.New(502, "r", "t")
	_, body, _ := bytes.Cut(encoded(f, leased), []byte("\n"))
	f.Add(body, true)
	f.Add([]byte(`{"key":"00","enqueuedAt":"9999-12-31T23:59:59+23:59"}`), true)
	f.Add([]byte(nil), false)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed { // let the mutations through the checksum
			b = seal(string(b))
		}
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		if r.Item.Attempt < 0 || r.Item.Priority != Background || r.Owner != "" && !isOwner(r.Owner) {
			t.Errorf("decoded %+v", r)
		}
		again, err := r.encode()
		if err != nil {
			t.Fatalf("%+v does not encode: %v", r, err)
		}
		back, err := decodeRecord(again)
		if err != nil {
			t.Fatalf("%s does not decode: %v", again, err)
		}
		third, err := back.encode()
		if err != nil || !bytes.Equal(again, third) {
			t.Errorf("%s\nbecame\n%s, %v", again, third, err)
		}
	})
}

func TestBackoffNeverOverflows(t *testing.T) {
	o := Options{Backoff: 1, BackoffMax: math.MaxInt64}
	for attempt := range 200 {
		if pause := o.backoff(attempt); pause < 0 {
			t.Errorf("pause %v after attempt %d", pause, attempt)
		}
	}
}
