package demo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/wxops/wxops/naming"
	"github.com/wxops/wxops/naming/file"
)

// A Service is what a fleet runs: three instances of one law, and the users.
type Service struct {
	Name  string
	Law   Law
	Bound time.Duration // of the objective, on the 99 % quantile
	Rate  float64       // requests per second of all users
	Seed  uint64
}

// Choose returns the service of a seed. Seed 0 is the one of the
// documentation; every other seed gives workers, service time, variation and
// objective of its own. Twice the share of one instance is always more than
// its capacity. A metastable service slows down by 0.5 % per waiting request.
func Choose(seed uint64, metastable bool) Service {
	s := Service{Name: "checkout", Seed: seed, Bound: 150 * time.Millisecond, Law: Law{Workers: 8, Service: 20 * time.Millisecond, CV: 1, CPUShare: 0.6}}
	if seed != 0 {
		rng := rand.New(rand.NewPCG(seed, 0xde30))
		between := func(low, high float64) float64 { return low + (high-low)*rng.Float64() }
		perSecond := between(280, 420) // of all workers, without a queue
		s.Law.Workers = 4 + rng.IntN(13)
		s.Law.Service = time.Duration(float64(s.Law.Workers) / perSecond * 1e9).Round(100 * time.Microsecond)
		s.Law.CV = math.Round(between(5, 12)) / 10
		s.Law.CPUShare = math.Round(between(40, 80)) / 100
		alone := s.Law.Service.Seconds() * (1 + 3.6*s.Law.CV) // about the 99 % quantile of the service time
		s.Bound = max(20*time.Millisecond, time.Duration(alone*between(1.4, 1.8)*1e9).Round(5*time.Millisecond))
	}
	saturation := float64(s.Law.Workers) / s.Law.Service.Seconds()
	s.Rate = math.Round(1.6 * saturation)
	s.Law.Queue = int(1.5*s.Bound.Seconds()*saturation) + 1
	if metastable {
		s.Law.PerQueued, s.Law.Queue = 0.005, 50*s.Law.Workers
		s.Bound = max(s.Bound, 10*s.Law.Service)
	}
	return s
}

// Objective returns the objective in the grammar of --slo.
func (s Service) Objective() string { return fmt.Sprintf("p99<%v", s.Bound) }

// Truth returns the capacity of one instance by construction, requests per
// second; see [Truth].
func (s Service) Truth() float64 { return Truth(s.Law, s.Bound, 0.01, s.Rate, s.Seed) }

// A Fleet is a running service: users, router, three instances of equal weight
// and the names file that the router watches.
type Fleet struct {
	Service   Service
	Registry  naming.Registry
	Names     string // path of the names file
	Instances []*Instance

	router *router
	stop   context.CancelFunc
	wg     sync.WaitGroup
	report Report
	failed error
}

// baseWeight is the weight of each instance: fine enough that one more is 0.7 %
// of its share.
const baseWeight = 100

// StartFleet starts the service with its names file in dir. Users send requests
// until Close.
func StartFleet(ctx context.Context, dir string, s Service) (*Fleet, error) {
	f := &Fleet{Service: s, Names: filepath.Join(dir, "names.yaml")}
	ctx, f.stop = context.WithCancel(ctx)
	if err := f.begin(ctx); err != nil {
		_, _ = f.Close() // the first error is the one to tell
		return nil, fmt.Errorf("start fleet: %w", err)
	}
	return f, nil
}

func (f *Fleet) begin(ctx context.Context) error {
	var b strings.Builder
	fmt.Fprintf(&b, "services:\n  %s:\n    layer: logic\n    instances:\n", f.Service.Name)
	for i, name := range []string{"a", "b", "c"} {
		in, err := StartInstance(f.Service.Name+"/"+name, f.Service.Law, f.Service.Bound, f.Service.Seed+uint64(i)<<32)
		if err != nil {
			return err
		}
		f.Instances = append(f.Instances, in)
		fmt.Fprintf(&b, "      %s: {address: %q, weight: %d}\n", name, in.Addr(), baseWeight)
	}
	if err := os.WriteFile(f.Names, []byte(b.String()), 0o600); err != nil {
		return err
	}
	registry, err := file.Open(f.Names)
	if err != nil {
		return err
	}
	f.Registry = registry
	if f.router, err = startRouter(); err != nil {
		return err
	}
	first := make(chan struct{})
	var once sync.Once
	f.wg.Go(func() {
		f.failed = f.Registry.Watch(ctx, func(all []naming.Instance) {
			targets := make([]Target, 0, len(all))
			for _, in := range all {
				targets = append(targets, Target{Name: in.ID(), Addr: in.Address, Weight: int(in.Weight)})
			}
			f.router.Set(targets)
			once.Do(func() { close(first) })
		})
		once.Do(func() { close(first) })
	})
	<-first
	f.wg.Go(func() {
		f.report = Users{URL: f.router.URL(), Rate: f.Service.Rate, Seed: f.Service.Seed}.Run(ctx, 0)
	})
	return nil
}

// Close stops users, router and instances, in this order, and returns what the
// users saw.
func (f *Fleet) Close() (Report, error) {
	f.stop()
	f.wg.Wait()
	errs := []error{f.failed}
	if f.router != nil {
		errs = append(errs, f.router.Close())
	}
	for _, in := range f.Instances {
		errs = append(errs, in.Close())
	}
	if f.Registry != nil {
		errs = append(errs, f.Registry.Close())
	}
	return f.report, errors.Join(errs...)
}
