package handler

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// None of these can be stopped: fasthttp's clock for the Date header runs for the life of the process, its worker
		// pool's janitor notices within ten seconds that the server is gone, and so does regexp2's clock.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/dlclark/regexp2/v2.runClock"))
}
