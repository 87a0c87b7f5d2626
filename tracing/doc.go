// Package tracing makes the spans of a request: what took its time, in whichever process that was. It is the part of
// OpenTelemetry that the rooms know; where spans go is package export's business.
//
// A room that does a part of the work begins a span below the one in its context, with Start. Where that one is not
// recorded, because tracing is off or the request was not chosen, nothing is made and nothing is allocated: the rooms
// need not know whether there is tracing. Only where a trace begins, or comes from another process, a Tracer is needed.
//
// What crosses a queue or the network is a Link: W3C's traceparent and tracestate (https://www.w3.org/TR/trace-context/).
package tracing
