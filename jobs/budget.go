package jobs

import (
	"sync"
	"time"
)

// Bounds of the retry budget, in retries.
const (
	// budgetCap is what a long healthy time can save up: enough for one bad second, not for a storm.
	budgetCap = 100
	// budgetStart lets a freshly started service retry.
	budgetStart = 10
)

// retryBudget is a token bucket over all jobs: every first attempt deposits ratio tokens, every retry withdraws
// one, and reserve tokens per second are added so that a quiet service may retry at all. When everything fails,
// retries thus add at most ratio of the load (the idea of Finagle's RetryBudget). failsafe-go's budget is another
// thing: it bounds how many executions in flight are retries, and is charged for the length of a failure.
type retryBudget struct {
	ratio, reserve float64

	mu     sync.Mutex
	tokens float64
	at     time.Time // when the reserve was last added
}

func newRetryBudget(ratio, reserve float64) *retryBudget {
	b := &retryBudget{ratio: ratio, reserve: reserve, at: time.Now()}
	if reserve > 0 || ratio > 0 {
		b.tokens = budgetStart
	}
	return b
}

// refill adds the reserve; mu is held.
func (b *retryBudget) refill() {
	now := time.Now()
	b.tokens = min(budgetCap, b.tokens+b.reserve*now.Sub(b.at).Seconds())
	b.at = now
}

// deposit pays in for one first attempt.
func (b *retryBudget) deposit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(budgetCap, b.tokens+b.ratio)
}

// withdraw pays for one retry, if it can.
func (b *retryBudget) withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// balance returns how many retries could be paid for now.
func (b *retryBudget) balance() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	return b.tokens
}
