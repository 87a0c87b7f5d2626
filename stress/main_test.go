//go:build e2e

package stress

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"imgopt/stress/load"
	"imgopt/testkit/child"
)

// driverEnv makes a process of this test binary the load driver.
const driverEnv = "STRESS_DRIVER"

func TestMain(m *testing.M) {
	if os.Getenv(driverEnv) != "" {
		if err := load.Main(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("imgopt/stress.runOnThread"))
}

// drive carries out a plan in a process of its own, so that nothing else in this one delays it.
func drive(t testing.TB, plan load.Plan) *load.Result {
	t.Helper()
	r, err := driveProcess(plan)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func driveProcess(plan load.Plan) (*load.Result, error) {
	input, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var out, complaint bytes.Buffer
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), driverEnv+"=1", "GOGC=off")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &complaint
	driver, err := child.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("the driver: %w", err)
	}
	if err := driver.Wait(); err != nil {
		return nil, fmt.Errorf("the driver: %w: %s", err, complaint.Bytes())
	}
	r := &load.Result{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		return nil, fmt.Errorf("the driver's result: %w", err)
	}
	return r, nil
}
