package config

import (
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"
)

// originHeaders decodes an element of fetch.headers. What is wrong is said without the values: they are secrets.
func (d *decoder) originHeaders(path string, n *yaml.Node) (h OriginHeaders) {
	const want = "must be {origin: https://host, headers: {Name: value}}"
	if n.Kind != yaml.MappingNode {
		d.report(n, path, "", want)
		return h
	}
	h.Headers = map[string]string{}
	before := len(d.errs)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		switch name.Value {
		case "origin":
			h.Origin = d.headerOrigin(path+".origin", value)
		case "headers":
			d.headerList(path+".headers", value, h.Headers)
		default:
			d.report(name, path+"."+name.Value, "", "unknown key; must be origin or headers")
		}
	}
	if len(d.errs) == before && (h.Origin == "" || len(h.Headers) == 0) {
		d.report(n, path, "", want)
	}
	return h
}

func (d *decoder) headerOrigin(path string, n *yaml.Node) string {
	u, err := url.Parse(n.Value)
	port := 0
	if err == nil && u.Port() != "" {
		port, err = strconv.Atoi(u.Port())
	}
	if n.Kind != yaml.ScalarNode || err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.HasSuffix(u.Host, ":") || port > 65535 || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		d.report(n, path, "", "must be http://host[:port] or https://host[:port]")
		return ""
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}

// unsettable are headers that belong to the connection or to the way an image is asked for.
var unsettable = map[string]bool{
	"accept-encoding": true, "connection": true, "content-length": true, "expect": true, "host": true, "if-modified-since": true,
	"if-none-match": true, "keep-alive": true, "proxy-connection": true, "range": true, "te": true, "trailer": true,
	"transfer-encoding": true, "upgrade": true,
}

func (d *decoder) headerList(path string, n *yaml.Node, into map[string]string) {
	if n.Kind != yaml.MappingNode {
		d.report(n, path, "", "must be {Name: value}")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		at := path + "." + name.Value
		_, twice := into[name.Value]
		switch {
		case !httpguts.ValidHeaderFieldName(name.Value):
			d.report(name, path, quote(name.Value), "must be the name of a header")
		case unsettable[strings.ToLower(name.Value)]:
			d.report(name, at, "", "this header cannot be set")
		case twice:
			d.report(name, at, "", "given twice")
		case value.Kind != yaml.ScalarNode || value.ShortTag() != "!!str" || value.Value == "" || !httpguts.ValidHeaderFieldValue(value.Value):
			d.report(value, at, "", "must be text without line breaks; put it in quotes")
		case value.Value == redacted:
			d.report(value, at, "", "holds %q in place of a secret that \"imgopt config\" left out; put the secret back", redacted)
		default:
			into[name.Value] = value.Value
		}
	}
}

// redacted is a copy to show.
func (h OriginHeaders) redacted() OriginHeaders {
	shown := OriginHeaders{Origin: h.Origin, Headers: make(map[string]string, len(h.Headers))}
	for name := range h.Headers {
		shown.Headers[name] = redacted
	}
	return shown
}
