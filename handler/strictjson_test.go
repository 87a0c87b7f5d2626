package handler

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecodeObject(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                                   "",
		" {\"url\" : \"/a\"}\r\n":              "",
		`{"url":"/a","all":true}`:              "",
		`{"url":"\u002fa"}`:                    "",
		``:                                     "the body is not a JSON object",
		`null`:                                 "the body is not a JSON object",
		`[]`:                                   "the body is not a JSON object",
		`"url"`:                                "the body is not a JSON object",
		`url=/a`:                               "the body is not a JSON object",
		`{"URL":"/a"}`:                         `unknown key "URL": want all, url`,
		`{"prefix":"/a"}`:                      `unknown key "prefix": want all, url`,
		`{"url":"/a","url":"/b"}`:              `key "url" is there twice`,
		`{"url":null}`:                         `key "url": null is no value`,
		`{"url":1}`:                            `key "url": want a string`,
		`{"url":["/a"]}`:                       `key "url": want a string`,
		`{"all":"true"}`:                       `key "all": want true or false`,
		`{"all":1}`:                            `key "all": want true or false`,
		`{"url":"/a"`:                          "the body is not JSON: unexpected EOF",
		`{"url"`:                               "the body is not JSON: unexpected EOF",
		`{"url":}`:                             "the body is not JSON: invalid character '}' looking for beginning of value",
		`{"url":"/a"]`:                         "the body is not JSON: invalid character ']' after object key:value pair",
		`{url:"/a"}`:                           "the body is not JSON: invalid character 'u'",
		`{"url":"/a"} {"all":true}`:            "the body goes on after its JSON object",
		`{"url":"/a"}x`:                        "the body goes on after its JSON object",
		"{\"url\":\"\xff\"}":                   "the body is not UTF-8",
		`{"all":` + strings.Repeat("[", 20000): "the body is not JSON: invalid character '[' exceeded max depth",
	} {
		var url string
		var all bool
		err := decodeObject([]byte(body), map[string]any{"url": &url, "all": &all})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.60s: %q, want %q", body, got, want)
		}
		if err == nil && strings.Contains(body, "url") && url != "/a" {
			t.Errorf("%s: url %q", body, url)
		}
	}
	if err := decodeObject([]byte(`{"x":1}`), nil); err == nil || err.Error() != `unknown key "x": the object is to be empty` {
		t.Error(err)
	}
}

// What is accepted is what encoding/json's own strict mode accepts, and means the same.
func FuzzDecodeObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"url":"/a"}`, `{"prefix":"https://h/","all":false}`, `{"url":"/a","url":"/b"}`, `{"all":null}`, `{"url":"\ud800"}`, `[`, `{"url":"/a"} `, "{\"\xff\":1}", `{"a":{"b":[1,{}]}}`, `{"url"}`, `{,}`, `{]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got Purge
		err := decodeObject(body, map[string]any{"url": &got.URL, "prefix": &got.Prefix, "all": &got.All})
		if err != nil {
			if err.Error() == "" || !utf8.ValidString(err.Error()) {
				t.Errorf("error %q", err)
			}
			return
		}
		var want Purge
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&want); err != nil || got != want || !json.Valid(body) {
			t.Errorf("%q is %+v, encoding/json has %+v, %v", body, got, want, err)
		}
	})
}
