package stress

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/wxops/wxops/capacity"
)

// A Config is what a [Controller] knows before the first sample. The zero value
// of each field means what its comment says.
type Config struct {
	// Objective is what the instance must keep. It needs a term on a quantile
	// of the response time.
	Objective capacity.Objective

	// MaxRate is the highest offered load that the test can reach or is
	// allowed to reach, requests per second. 0: no such limit is known.
	MaxRate float64

	// MaxDuration ends the test, counted from the first sample. 0: 60 s.
	MaxDuration time.Duration

	// ErrorBudget is the share of the requests of the test that may miss the
	// objective or fail before the test is given up, 0..1. 0: 0.005.
	ErrorBudget float64

	// Window is the time between two samples. 0: 1 s.
	Window time.Duration

	// Lag is the time until a new weight takes effect. 0: at once.
	Lag time.Duration

	// Balance says how requests of the service come to the instance. The zero
	// value lets the counts of the guard readings decide.
	Balance Balance
}

// A Balance says how a balancer chooses the instance for a request. The more
// evenly requests come, the more of them an instance can carry.
type Balance string

// The ways to balance that make a difference.
const (
	// BalanceUnknown is judged from the counts of the guard readings. It is
	// right for every way not named here, such as least connections.
	BalanceUnknown Balance = ""

	// BalanceTurn deals requests out in turn by weight, as round robin does: a
	// share p of a Poisson stream arrives with a squared coefficient of
	// variation near p. It needs Sample.Share and Sample.Total.
	BalanceTurn Balance = "turn"

	// BalanceChance chooses for each request apart from the others, at random
	// or by a hash of it: a share of a Poisson stream is one itself.
	BalanceChance Balance = "chance"
)

// withDefaults fills in the documented defaults.
func (c Config) withDefaults() Config {
	if c.MaxDuration == 0 {
		c.MaxDuration = 60 * time.Second
	}
	if c.ErrorBudget == 0 {
		c.ErrorBudget = 0.005
	}
	if c.Window == 0 {
		c.Window = time.Second
	}
	return c
}

// Check says what is wrong with the configuration, if anything is.
func (c Config) Check() error {
	t, ok := c.Objective.Latency()
	bad := func(v float64) bool { return v < 0 || math.IsNaN(v) || math.IsInf(v, 0) }
	switch {
	case !ok:
		return errors.New("the objective bounds no quantile of the response time; write one, as in p99<50ms")
	case !(t.Bound > 0):
		return fmt.Errorf("the bound %v s of the objective is not positive", t.Bound)
	case bad(c.MaxRate):
		return fmt.Errorf("highest rate %v is not a rate", c.MaxRate)
	case !(c.ErrorBudget >= 0 && c.ErrorBudget < 1):
		return fmt.Errorf("error budget %v is outside [0, 1)", c.ErrorBudget)
	case c.Window < 0 || c.Lag < 0 || c.MaxDuration < 0:
		return errors.New("a negative duration")
	case c.Balance != BalanceUnknown && c.Balance != BalanceTurn && c.Balance != BalanceChance:
		return fmt.Errorf("balance %q is none of %q, %q and %q (not known)", c.Balance, BalanceTurn, BalanceChance, BalanceUnknown)
	}
	return nil
}

// bound returns the response time of the objective in seconds and the share of
// requests that may exceed it.
func (c Config) bound() (seconds, miss float64) {
	t, _ := c.Objective.Latency()
	return t.Bound, 1 - t.Quantile
}
