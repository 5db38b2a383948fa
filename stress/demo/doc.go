// Package demo is a small fleet in one process, all of it real HTTP on
// 127.0.0.1: [Users] in an open loop, a weighted router, and instances
// ([Instance]) with bounded queues whose capacity is known by construction.
// It is what `wxops stress demo` tests, and what the tests of the other
// packages under stress measure.
//
// An instance carries out its [Law] in virtual time between real arrivals, so
// that a busy machine delays responses but does not change its capacity.
// Work is a timed wait, not computation; the fleet uses a fraction of a core.
// Nothing here listens on or speaks to any other address than 127.0.0.1.
//
//	fleet, err := demo.StartFleet(ctx, dir, demo.Choose(seed, false))
//	if err != nil {
//		return err
//	}
//	// stress fleet.Instances[0] by the weights in fleet.Names
//	report, err := fleet.Close()
//	fmt.Println(len(report.Visits), "requests, capacity of an instance", fleet.Service.Truth())
package demo
