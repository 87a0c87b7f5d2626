package handler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// errNotObject is what a body is that is no JSON object at all.
var errNotObject = errors.New("the body is not a JSON object")

// decodeObject reads a JSON object into fields, a pointer for each key that may be there. encoding/json alone would take
// keys in any case, the last of several equal ones, null for anything, and what comes after the object for nothing;
// whoever deletes by mistake what was meant otherwise is not helped by that.
func decodeObject(body []byte, fields map[string]any) error {
	if !utf8.Valid(body) {
		return errors.New("the body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errNotObject
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return notJSON(err)
		}
		key := t.(string) // the only token that an object's member can begin with
		to, known := fields[key]
		switch {
		case !known:
			return fmt.Errorf("unknown key %q: %s", key, allowed(fields))
		case seen[key]:
			return fmt.Errorf("key %q is there twice", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return notJSON(err)
		}
		if string(value) == "null" {
			return fmt.Errorf("key %q: null is no value", key)
		}
		if err := json.Unmarshal(value, to); err != nil {
			return fmt.Errorf("key %q: want %s", key, wanted(to))
		}
	}
	if _, err := dec.Token(); err != nil {
		return notJSON(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("the body goes on after its JSON object")
	}
	return nil
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the body is not JSON: %w", err)
}

// allowed lists the keys.
func allowed(fields map[string]any) string {
	if len(fields) == 0 {
		return "the object is to be empty"
	}
	return "want " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}

// wanted names the values that a field takes.
func wanted(to any) string {
	if _, ok := to.(*bool); ok {
		return "true or false"
	}
	return "a string"
}
