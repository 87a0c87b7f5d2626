package export

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// cleanSpan is a span whose texts have gone through Options.Clean, whichever room has set them: urls have user names,
// signatures and tokens in them, and must not leave with those.
type cleanSpan struct {
	sdk.ReadOnlySpan
	attributes []attribute.KeyValue
	status     sdk.Status
	events     []sdk.Event
}

func (s cleanSpan) Attributes() []attribute.KeyValue { return s.attributes }
func (s cleanSpan) Status() sdk.Status               { return s.status }
func (s cleanSpan) Events() []sdk.Event              { return s.events }

func cleaned(spans []sdk.ReadOnlySpan, clean func(string) string) []sdk.ReadOnlySpan {
	out := make([]sdk.ReadOnlySpan, len(spans))
	for i, s := range spans {
		c := cleanSpan{s, cleanAll(s.Attributes(), clean), s.Status(), slices.Clone(s.Events())}
		c.status.Description = clean(c.status.Description)
		for j := range c.events {
			c.events[j].Attributes = cleanAll(c.events[j].Attributes, clean)
		}
		out[i] = c
	}
	return out
}

func cleanAll(attributes []attribute.KeyValue, clean func(string) string) []attribute.KeyValue {
	out := slices.Clone(attributes)
	for i, a := range out {
		if a.Value.Type() == attribute.STRING {
			// Strangers choose some of them, and the encoder refuses a whole batch for one that is not UTF-8.
			out[i].Value = attribute.StringValue(strings.ToValidUTF8(clean(a.Value.AsString()), "\ufffd"))
		}
	}
	return out
}
