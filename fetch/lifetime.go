package fetch

import (
	"context"
	"errors"
	"sync"
)

// errClosed is the reason for work that ended, or did not begin, because the Client was closed.
var errClosed = errors.New("fetch client closed")

// lifetime owns what runs on behalf of a Client: fetches, and dials, which net/http detaches from the request that
// asked for them.
type lifetime struct {
	ctx    context.Context // done once the Client closes
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

func newLifetime() *lifetime {
	l := new(lifetime)
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

// enter registers a piece of work. The context it gets ends when ctx ends or the Client closes; leave must be called.
func (l *lifetime) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil, errClosed
	}
	l.work.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(errClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		l.work.Done()
	}, nil
}

// close ends all work and waits for it. Calling it twice is harmless.
func (l *lifetime) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel(errClosed)
	l.work.Wait()
}
