package browser

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The thread that started programs has to live as long as they do.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("imgopt/e2e/browser.serveStarter"))
}
