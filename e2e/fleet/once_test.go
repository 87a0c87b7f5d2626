//go:build e2e

package fleet

import (
	"fmt"
	"testing"

	"imgopt/valkey/valkeytest"
)

// A thousand requests at once for a new image, spread over three replicas, are one fetch and one encoding; so are those
// for fifty images each.
func TestOnce(t *testing.T) {
	t.Parallel()
	f, _ := startThree(t, valkeytest.Options{})
	for i := range choose(3, 20) {
		held := i%2 == 0
		how := map[bool]string{true: "all at once", false: "as they come"}[held]
		f.storm(f.all, f.fresh(1), 1000, held).check(t, fmt.Sprintf("%d, one image, %s", i+1, how))
		f.storm(f.all, f.fresh(50), 1000, held).check(t, fmt.Sprintf("%d, fifty images, %s", i+1, how))
	}
	f.all[0].queueEmpty()
}
