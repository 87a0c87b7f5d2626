package valkeyqueue_test

import (
	"context"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"imgopt/jobs"
	"imgopt/tracing"
	"imgopt/valkey/valkeytest"
)

var (
	oneTrace     = tracing.Link{Parent: "00-11111111111111111111111111111111-1111111111111111-01", State: "shop=7"}
	anotherTrace = tracing.Link{Parent: "00-22222222222222222222222222222222-2222222222222222-01"}
)

// A trace travels with its job, and whoever joins a job learns whose it is. Records without one are as good.
func TestTrace(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	q := open(t, s.URL(), prefix)
	put := func(n int, p jobs.Priority, trace tracing.Link, joins bool) (links []string) {
		t.Helper()
		recorded := tracetest.NewSpanRecorder()
		tracer := tracing.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorded)), tracing.Options{SampleRatio: 1})
		ctx, span := tracer.Server(context.Background(), tracer.Accept(nil, nil), "x", time.Now())
		it := item(n, p)
		it.Trace = trace
		if joined, err := q.Enqueue(ctx, it); err != nil || joined != joins {
			t.Fatalf("Enqueue: joined %v, %v", joined, err)
		}
		span.End()
		for _, l := range recorded.Ended()[0].Links() {
			links = append(links, l.SpanContext.TraceID().String()[:2])
		}
		return links
	}
	expect := func(n int, p jobs.Priority, want tracing.Link) {
		t.Helper()
		l := lease(t, q, p, n)
		if l.Trace != want {
			t.Errorf("job %d has trace %+v, want %+v", n, l.Trace, want)
		}
		// It is still there when the job comes back.
		if err := q.Requeue(context.Background(), l, time.Now()); err != nil {
			t.Fatal(err)
		}
		if l = lease(t, q, p, n); l.Trace != want {
			t.Errorf("job %d has come back with trace %+v, want %+v", n, l.Trace, want)
		}
		complete(t, q, l, jobs.Outcome{})
	}
	if links := put(1, jobs.Interactive, oneTrace, false); len(links) > 0 {
		t.Errorf("the first has links %v", links)
	}
	if links := put(1, jobs.Interactive, anotherTrace, true); strings.Join(links, " ") != "11" {
		t.Errorf("the second has links %v", links)
	}
	expect(1, jobs.Interactive, oneTrace)

	// What was to be done in the background is done for the one who comes to wait for it, and who does not need a link.
	put(2, jobs.Background, oneTrace, false)
	if links := put(2, jobs.Interactive, anotherTrace, true); len(links) > 0 {
		t.Errorf("it has links %v", links)
	}
	expect(2, jobs.Interactive, anotherTrace)
	put(3, jobs.Background, oneTrace, false)
	put(3, jobs.Interactive, tracing.Link{}, true)
	expect(3, jobs.Interactive, tracing.Link{})

	// As a process that knows nothing of traces enqueues it, and as nobody should.
	for n, bad := range []string{"", "nonsense", oneTrace.Parent + " " + strings.Repeat("x", 1<<16)} {
		n += 4
		put(n, jobs.Interactive, oneTrace, false)
		id := key(n)
		record := ""
		for _, name := range strings.Fields(s.Do("KEYS", prefix+"*}m")) { // all names of a queue begin like this one
			record = strings.TrimSuffix(name, "m") + "j" + string(id[:])
		}
		if bad == "" {
			s.Do("HDEL", record, "c")
		} else if s.Do("HSET", record, "c", bad) != "0" {
			t.Fatalf("%q had no trace", record)
		}
		want := tracing.Link{}
		if n == 6 {
			want.Parent = oneTrace.Parent
		}
		expect(n, jobs.Interactive, want)
	}
}
