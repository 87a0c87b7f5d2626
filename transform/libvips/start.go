package libvips

// #include "pipeline.h"
import "C"

import (
	"log/slog"
	"sync"

	"github.com/davidbyttow/govips/v2/vips"
)

// start initialises libvips once: one thread per image, no operation cache, only the loaders Next.js allows.
var start = sync.OnceValue(func() error {
	vips.LoggingSettings(func(domain string, level vips.LogLevel, message string) {
		slog.Debug("libvips", "domain", domain, "level", int(level), "message", message)
	}, vips.LogLevelWarning)
	if err := vips.Startup(&vips.Config{ConcurrencyLevel: 1, MaxCacheFiles: 0, MaxCacheMem: 0, MaxCacheSize: 0}); err != nil {
		return err
	}
	C.imgopt_init()
	return nil
})
