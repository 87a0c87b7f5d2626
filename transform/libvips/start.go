package libvips

// #include "pipeline.h"
import "C"

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/davidbyttow/govips/v2/vips"
)

// Start initialises libvips once: one thread per image, no operation cache, only the loaders Next.js allows.
// Later calls return the first one's result.
var Start = sync.OnceValue(func() error {
	vips.LoggingSettings(func(domain string, level vips.LogLevel, message string) {
		slog.Debug("libvips", "domain", domain, "level", int(level), "message", message)
	}, vips.LogLevelWarning)
	if err := vips.Startup(&vips.Config{ConcurrencyLevel: 1, MaxCacheFiles: 0, MaxCacheMem: 0, MaxCacheSize: 0}); err != nil {
		return fmt.Errorf("starting libvips: %w", err)
	}
	C.imgopt_init()
	return nil
})

// Version returns the version of libvips that is linked, for example "8.18.7".
func Version() string { return vips.Version }

// Memory is what libvips holds at the moment: bytes (and the most it ever held), files, allocations.
type Memory = vips.MemoryStats

// ReadMemory returns libvips' own accounting.
func ReadMemory() Memory {
	var m Memory
	vips.ReadVipsMemStats(&m)
	return m
}
