package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"imgopt/failure"
)

// record is a job in a file of the filesystem queue.
type record struct {
	Version   string // of the pipeline that made the key
	Item      Item   // without Priority, Deadline and Trace: whatever is read from a file is background work
	NotBefore time.Time

	// Set while leased.
	Owner, Token string
	Expires      time.Time

	// Set in a dead letter.
	Failure  *failure.Error
	FailedAt time.Time
}

// A file is one line with the format's version and the body's CRC-32C, then the body, indented JSON: a job can be
// read by a person, and a torn or altered file is noticed.
const (
	recordMagic = "imgopt-job 1 "
	// recordMax bounds a file: the longest url (3,072 characters) escaped, and a failure's texts, many times over.
	recordMax = 256 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type recordJSON struct {
	Key        string       `json:"key"`
	Version    string       `json:"version"`
	Kind       Kind         `json:"kind"`
	Href       string       `json:"href,omitempty"`
	HrefBytes  []byte       `json:"hrefBytes,omitempty"` // instead of Href where that is not UTF-8
	Absolute   bool         `json:"absolute,omitempty"`
	Width      int          `json:"width"`
	Quality    int          `json:"quality"`
	Format     string       `json:"format,omitempty"`
	Deployment string       `json:"deployment,omitempty"`
	Attempt    int          `json:"attempt"`
	EnqueuedAt time.Time    `json:"enqueuedAt"`
	NotBefore  time.Time    `json:"notBefore,omitzero"`
	Owner      string       `json:"owner,omitempty"`
	Token      string       `json:"token,omitempty"`
	Expires    time.Time    `json:"expires,omitzero"`
	Failure    *failureJSON `json:"failure,omitempty"`
}

type failureJSON struct {
	At     time.Time `json:"at"`
	Status int       `json:"status"`
	Reason string    `json:"reason"`
	Text   string    `json:"text"`
	Cause  string    `json:"cause,omitempty"`
}

// encode returns the file's bytes. Texts that are not UTF-8 lose what is not, except for the href.
func (r *record) encode() ([]byte, error) {
	w := recordJSON{
		Key: r.Item.Key.String(), Version: r.Version, Kind: r.Item.Kind, Href: r.Item.Spec.Href,
		Absolute: r.Item.Spec.Absolute, Width: r.Item.Spec.Width, Quality: r.Item.Spec.Quality, Format: r.Item.Spec.Format,
		Deployment: r.Item.Spec.Deployment, Attempt: r.Item.Attempt, EnqueuedAt: r.Item.EnqueuedAt, NotBefore: r.NotBefore,
		Owner: r.Owner, Token: r.Token, Expires: r.Expires,
	}
	if !utf8.ValidString(w.Href) {
		w.Href, w.HrefBytes = "", []byte(r.Item.Spec.Href)
	}
	if f := r.Failure; f != nil {
		w.Failure = &failureJSON{At: r.FailedAt, Status: f.Status, Reason: f.Reason, Text: f.Text}
		if f.Cause != nil {
			w.Failure.Cause = f.Cause.Error()
		}
	}
	body, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding job %v: %w", r.Item.Key, err)
	}
	body = append(body, '\n')
	return fmt.Appendf(nil, "%s%08x\n%s", recordMagic, crc32.Checksum(body, castagnoli), body), nil
}

// decodeRecord reads what encode wrote, and nothing else.
func decodeRecord(b []byte) (*record, error) {
	if len(b) > recordMax {
		return nil, fmt.Errorf("longer than %d bytes", recordMax)
	}
	head, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok || !bytes.HasPrefix(head, []byte(recordMagic)) {
		return nil, errors.New("not a job file")
	}
	if want := fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)); string(head[len(recordMagic):]) != want {
		return nil, errors.New("checksum does not match")
	}
	var w recordJSON
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the job")
	}
	return w.record()
}

func (w *recordJSON) record() (*record, error) {
	key, err := ParseKey(w.Key)
	if err != nil {
		return nil, err
	}
	if len(w.HrefBytes) > 0 {
		if w.Href != "" || utf8.Valid(w.HrefBytes) {
			return nil, errors.New("href given twice, or as bytes without need")
		}
		w.Href = string(w.HrefBytes)
	}
	leased := w.Owner != ""
	switch {
	case w.Attempt < 0:
		return nil, fmt.Errorf("attempt is %d", w.Attempt)
	case w.EnqueuedAt.IsZero():
		return nil, errors.New("no time of enqueueing")
	case leased && !isOwner(w.Owner):
		return nil, fmt.Errorf("owner %q has not the form of one", w.Owner)
	case leased != (w.Token != "") || leased != !w.Expires.IsZero():
		return nil, errors.New("lease without owner, token or end")
	}
	r := &record{
		Version: w.Version,
		Item: Item{
			Job: Job{
				Key:      key,
				Kind:     w.Kind,
				Spec:     Spec{Href: w.Href, Absolute: w.Absolute, Width: w.Width, Quality: w.Quality, Format: w.Format, Deployment: w.Deployment},
				Attempt:  w.Attempt,
				Priority: Background,
			},
			EnqueuedAt: w.EnqueuedAt,
		},
		NotBefore: w.NotBefore,
		Owner:     w.Owner, Token: w.Token, Expires: w.Expires,
	}
	if f := w.Failure; f != nil {
		r.FailedAt = f.At
		r.Failure = failure.New(f.Status, f.Reason, f.Text)
		if f.Cause != "" {
			r.Failure.Cause = errors.New(f.Cause)
		}
	}
	return r, nil
}

// isOwner tells whether s has the form of a process's name in the folder, as newOwner makes it: it becomes the name
// of a file, so nothing else may pass.
func isOwner(s string) bool {
	return len(s) == ownerLen && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// unlease clears what belongs to a lease, and when the job was to be tried next.
func (r *record) unlease() {
	r.Owner, r.Token, r.Expires, r.NotBefore = "", "", time.Time{}, time.Time{}
}
