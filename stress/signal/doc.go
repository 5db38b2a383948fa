// Package signal is where the samples of a stress test come from: [OpenMetrics]
// reads a Prometheus text endpoint, [OpenRegistry] the statistics of a load
// balancer, [OpenSockets] what the kernel knows of the connections of an
// instance on this host, [OpenProcess] its CPU. Each source is a [stress.Source]; a
// [stress.Meter] combines several. Every one gives its backlog in requests, by
// Little's law where it measures a time, so that the highest of them means
// something; docs/formulas.md has the formulas.
//
//	metrics, err := signal.OpenMetrics(ctx, signal.MetricsOptions{URL: url, Bound: 0.05})
//	meter := stress.NewMeter(time.Now(), 2*window, time.Now, metrics)
//	sample, states, err := meter.Window(ctx)
//
// The package measures and changes nothing: it writes to no socket but its own
// requests for numbers.
package signal
