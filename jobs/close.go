package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// stopGrace is how long work whose context has ended may take to return before Close gives up on it.
const stopGrace = time.Second

// Close stops the dispatcher. New calls are refused with 503 "shutting_down", background jobs are not started any
// more, and what runs and what somebody waits for is finished until ctx ends. Then the rest is cut short: those who
// wait get 503, and jobs that were submitted go back to the queue uncounted. Finally the queue is closed. Where other
// processes do jobs of the same queue, this one takes none from the beginning.
//
// The error is ctx's if something had to be cut short, and says so if work did not return even then.
func (d *Dispatcher[R]) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closing {
		d.mu.Unlock()
		<-d.closed
		return nil
	}
	d.closing = true // from here on no lead begins
	d.mu.Unlock()
	defer close(d.closed)

	d.stop[Background]()
	if d.shared != nil && d.shared.mayLeave() {
		d.stop[Interactive]()
	}
	late := wait(ctx, &d.leads)
	if late != nil {
		d.cancel(errStopping) // now the leads of what is still queued end too
	}
	d.stop[Interactive]()
	d.pumps.Wait() // from here on no run begins
	if late == nil {
		late = wait(ctx, &d.runs)
	}
	d.cancel(errStopping)

	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	var stuck error
	if errors.Join(wait(grace, &d.leads), wait(grace, &d.runs)) != nil {
		stuck = fmt.Errorf("%d jobs do not stop", d.count.inFlight[Interactive].Load()+d.count.inFlight[Background].Load())
	}
	if err := errors.Join(late, stuck, d.queue.Close()); err != nil {
		return fmt.Errorf("closing the jobs: %w", err)
	}
	return nil
}

// wait waits for the group until ctx ends. Its goroutine then lives as long as what it waits for.
func wait(ctx context.Context, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	if ctx.Err() == nil {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	// With nothing left to wait for, a context that had ended before is no reason to complain.
	moment := time.NewTimer(10 * time.Millisecond)
	defer moment.Stop()
	select {
	case <-done:
		return nil
	case <-moment.C:
		return context.Cause(ctx)
	}
}
