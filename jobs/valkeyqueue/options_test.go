package valkeyqueue_test

import (
	"strings"
	"testing"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/valkeyqueue"
)

func TestBadOptions(t *testing.T) {
	c := connect(t, "valkey://127.0.0.1:1", "x:")
	for name, change := range map[string]func(*valkeyqueue.Options){
		"no version":       func(o *valkeyqueue.Options) { o.Version = "" },
		"a long version":   func(o *valkeyqueue.Options) { o.Version = strings.Repeat("x", 201) },
		"no room":          func(o *valkeyqueue.Options) { o.Limits.Background = 0 },
		"a negative share": func(o *valkeyqueue.Options) { o.Limits.OriginShare = -0.1 },
		"a negative beat":  func(o *valkeyqueue.Options) { o.Beat = -1 },
		"a slow beat":      func(o *valkeyqueue.Options) { o.Beat = time.Hour },
		"a long memory":    func(o *valkeyqueue.Options) { o.ErrorTTL = 24 * time.Hour },
	} {
		o := valkeyqueue.Options{Client: c, Version: "1", Limits: jobs.DefaultLimits()}
		change(&o)
		if _, err := valkeyqueue.Open(o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
