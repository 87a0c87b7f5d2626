package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed readme.md
var readmeText string

// readme is the folder's README: the text of readme.md and a table of the cases.
func (c *corpus) readme() []byte {
	var b bytes.Buffer
	total := 0
	for _, t := range c.cases {
		total += t.Bytes
	}
	b.WriteString(strings.NewReplacer("{{cases}}", fmt.Sprint(len(c.cases)), "{{megabytes}}", fmt.Sprintf("%.1f", float64(total)/1e6)).Replace(readmeText))
	for _, group := range c.groups {
		fmt.Fprintf(&b, "\n### %s\n\n| file | shows | Next detects | Next answers | bytes |\n|---|---|---|---|---|\n", group)
		for _, t := range c.cases {
			if t.Group != group {
				continue
			}
			kind, answer := t.Type, t.Answer
			if kind == "" {
				kind = "nothing"
			}
			if t.Answer == answerError {
				answer = fmt.Sprintf("%d %s", t.Status, t.Text)
			}
			if t.Animated {
				answer += ", animated"
			}
			if t.Heavy {
				answer += ", heavy"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %d |\n", t.File, strings.ReplaceAll(t.Shows, "|", `\|`), kind, answer, t.Bytes)
		}
	}
	return b.Bytes()
}
