// Package metrics exports an engine's metrics to Prometheus.
//
// docs/metrics.md lists them all. Distributions are exported as histograms, not as quantiles: those of several engines, or of several machines, can be
// added up, and a quantile over any span of time be drawn from the sum (histogram_quantile), while ready-made quantiles are of one engine since it was
// opened, and can be neither added nor averaged. Who has no Prometheus finds P50 to Max in [opossum.Metrics].
package metrics

import (
	"iter"

	"github.com/prometheus/client_golang/prometheus"

	"opossum"
)

// Source has metrics: an [opossum.Engine], be it open, read-only, poisoned or closed.
type Source interface {
	Metrics() opossum.Metrics
}

// ContextLabel is the label by which [NewContextsCollector] tells contexts apart.
const ContextLabel = "context"

// NewCollector returns a collector of the metrics of one engine. Every metric gets the labels, nil for none. To register several engines in one registry
// give each other values of the same labels, such as "context" with the name of each.
//
// A scrape costs one call of Metrics. The collector is safe for concurrent use; it does not close the engine, nor hold a goroutine.
func NewCollector(source Source, labels prometheus.Labels) prometheus.Collector {
	return &collector{
		rows: describe(nil, labels),
		each: func(collect func(m *opossum.Metrics, labels ...string)) {
			m := source.Metrics()
			collect(&m)
		},
	}
}

// NewContextsCollector returns a collector of the metrics of contexts that come and go: of those that the sequence yields at a scrape, say Opened of an
// [opossum.Root], with their names, which become the label [ContextLabel]. It must yield each name once, else the scrape fails. Every metric gets the labels besides, nil for none; ContextLabel
// may not be among them. Scrapes may run at once: the sequence must bear it.
func NewContextsCollector[S Source](contexts iter.Seq2[string, S], labels prometheus.Labels) prometheus.Collector {
	return &collector{
		rows: describe([]string{ContextLabel}, labels),
		each: func(collect func(m *opossum.Metrics, labels ...string)) {
			for name, source := range contexts {
				m := source.Metrics()
				collect(&m, name)
			}
		},
	}
}

// collector makes metrics of rows.
type collector struct {
	rows []described
	each func(collect func(m *opossum.Metrics, labels ...string))
}

// described is a row with its descriptor.
type described struct {
	row
	desc *prometheus.Desc
}

// describe makes descriptors. variable are the labels that differ between the metrics of one collector.
func describe(variable []string, labels prometheus.Labels) []described {
	out := make([]described, len(rows))
	for i, r := range rows {
		own := variable
		if r.kind == info {
			own = append(own[:len(own):len(own)], r.unit)
		}
		out[i] = described{r, prometheus.NewDesc(r.name, r.help, own, labels)}
	}
	return out
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, r := range c.rows {
		ch <- r.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.each(func(m *opossum.Metrics, labels ...string) {
		for _, r := range c.rows {
			metric, err := r.metric(r.desc, m, labels)
			if err != nil { // a label is not UTF-8
				metric = prometheus.NewInvalidMetric(r.desc, err)
			}
			ch <- metric
		}
	})
}

// metric returns what m says about the row.
func (r row) metric(desc *prometheus.Desc, m *opossum.Metrics, labels []string) (prometheus.Metric, error) {
	switch r.kind {
	case counter:
		return prometheus.NewConstMetric(desc, prometheus.CounterValue, r.value(m), labels...)
	case histogram:
		d := r.distribution(m)
		return prometheus.NewConstHistogram(desc, d.count, d.sum, d.buckets, labels...)
	case info:
		return prometheus.NewConstMetric(desc, prometheus.GaugeValue, 1, append(labels[:len(labels):len(labels)], r.text(m))...)
	}
	return prometheus.NewConstMetric(desc, prometheus.GaugeValue, r.value(m), labels...)
}
