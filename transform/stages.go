package transform

import (
	"context"
	"time"
)

// Stages is where the time of an encoding went. libvips computes pixels when somebody asks for them, some lines at a time,
// so decoding and resizing are one. What an encoder does with lines as they come belongs to Pixels: all that GIF's and
// TIFF's do and most of PNG's; those of WebP and AVIF begin when they have all, and mozjpeg's does most of its work then.
type Stages struct {
	// Pixels is the time until the encoder had all pixels, Encode the rest. Both are 0 where that is not known.
	Pixels, Encode time.Duration
}

type stagesKey struct{}

// WithStages has an Engine's Encode fill in s.
func WithStages(ctx context.Context, s *Stages) context.Context {
	return context.WithValue(ctx, stagesKey{}, s)
}

// StagesOf returns what is to be filled in, or nil.
func StagesOf(ctx context.Context) *Stages {
	s, _ := ctx.Value(stagesKey{}).(*Stages)
	return s
}
