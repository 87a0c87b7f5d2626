package config

import (
	"fmt"
	"strings"
)

// Reference returns the table of all keys in Markdown, for the README: key, flag, variable, what the value may be,
// default and meaning.
func Reference() string {
	var b strings.Builder
	b.WriteString("| key | flag | environment | value | default | meaning |\n|---|---|---|---|---|---|\n")
	for _, k := range keys().keys {
		def := "–"
		switch {
		case k.def != "":
			def = "`" + k.def + "`"
		case k.kind == text:
			def = "empty"
		case k.list():
			def = "`[]`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | `%s` | %s | %s | %s |\n", k.path, k.flag(), k.env(), cell(k.allowed()), cell(def), cell(k.doc))
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
