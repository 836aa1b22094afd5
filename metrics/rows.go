package metrics

import (
	"time"

	"opossum"
)

// kind is the type of a metric, as Prometheus calls it.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
	info      kind = "gauge, always 1" // what it says is in a label
)

// row is a metric: a row of the table in docs/metrics.md, and how it is got. One of the last three is set, as kind asks for.
type row struct {
	field string // of opossum.Metrics
	name  string
	kind  kind
	unit  string // of an info: its label
	help  string

	value        func(*opossum.Metrics) float64
	distribution func(*opossum.Metrics) distribution
	text         func(*opossum.Metrics) string
}

// unexported are the fields of opossum.Metrics that become no metric, and why.
var unexported = map[string]string{
	"SegmentTiers":   "Not exported: tiers come and go with the size of the store. `opossum_index_segments` has their sum, and `opossum stat` shows them.",
	"LastFlushError": "Not exported: texts of errors do not belong into labels. `opossum_flush_failures_total` counts it, and the line that says \"poisoned\" in the log has it.",
}

var rows = []row{
	{field: "Assigned", name: "opossum_assigned_position", kind: gauge, unit: "position",
		help:  "Highest position given to an event, readable or not.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Assigned) }},
	{field: "Visible", name: "opossum_visible_position", kind: gauge, unit: "position",
		help:  "Highest readable position: the head.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Visible) }},
	{field: "Durable", name: "opossum_durable_position", kind: gauge, unit: "position",
		help:  "Highest position that no power cut takes back.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Durable) }},
	{field: "Indexed", name: "opossum_indexed_position", kind: gauge, unit: "position",
		help:  "Highest position in the index on the disk.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Indexed) }},
	{field: "Materialized", name: "opossum_materialized_position", kind: gauge, unit: "position",
		help:  "Highest position up to which every event is in a file or a pack, durably.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Materialized) }},

	{field: "Flush", name: "opossum_flush_strategy_info", kind: info, unit: "strategy",
		help: "Flush strategy in force. A read-only engine has none and says batch.",
		text: func(m *opossum.Metrics) string { return m.Flush.String() }},
	{field: "GroupWait", name: "opossum_group_wait_seconds", kind: gauge, unit: "seconds",
		help:  "How long a commit may wait for appends to join it.",
		value: func(m *opossum.Metrics) float64 { return m.GroupWait.Seconds() }},

	{field: "Appends", name: "opossum_appends_total", kind: counter, unit: "appends",
		help:  "Appends committed.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Appends) }},
	{field: "Events", name: "opossum_appended_events_total", kind: counter, unit: "events",
		help:  "Events committed.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Events) }},
	{field: "Bytes", name: "opossum_appended_bytes_total", kind: counter, unit: "bytes",
		help:  "Bytes of the events committed, as encoded in the log.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Bytes) }},
	{field: "Rejected", name: "opossum_appends_rejected_total", kind: counter, unit: "appends",
		help:  "Appends whose condition failed.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Rejected) }},
	{field: "Repeated", name: "opossum_appends_repeated_total", kind: counter, unit: "appends",
		help:  "Appends found to be written before, by the IDs of their events, and answered with their old position.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Repeated) }},
	{field: "Returned", name: "opossum_condition_checks_returned_total", kind: counter, unit: "checks",
		help:  "Condition checks taken again because their snapshot was too old.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Returned) }},

	{field: "Groups", name: "opossum_group_size_appends", kind: histogram, unit: "appends",
		help:         "Commits, by how many appends shared one.",
		distribution: func(m *opossum.Metrics) distribution { return sizes(m.Groups) }},
	{field: "CommitTime", name: "opossum_commit_seconds_total", kind: counter, unit: "seconds",
		help:  "Time spent in writes and fsyncs of the log, all commits together.",
		value: func(m *opossum.Metrics) float64 { return m.CommitTime.Seconds() }},
	{field: "Stalled", name: "opossum_commit_stalled_seconds", kind: gauge, unit: "seconds",
		help:  "For how long the commit in progress has not returned, 0 below a second.",
		value: func(m *opossum.Metrics) float64 { return m.Stalled.Seconds() }},

	{field: "Flushes", name: "opossum_flush_duration_seconds", kind: histogram, unit: "seconds",
		help:         "Fsyncs of the log that succeeded, by how long they took.",
		distribution: func(m *opossum.Metrics) distribution { return latencies(m.Flushes) }},
	{field: "FlushedEvents", name: "opossum_flushed_events_total", kind: counter, unit: "events",
		help:  "Events made durable by fsyncs of the log.",
		value: func(m *opossum.Metrics) float64 { return float64(m.FlushedEvents) }},
	{field: "FlushedBytes", name: "opossum_flushed_bytes_total", kind: counter, unit: "bytes",
		help:  "Bytes of the log made durable by fsyncs, with the frames around the events.",
		value: func(m *opossum.Metrics) float64 { return float64(m.FlushedBytes) }},
	{field: "LastFlush", name: "opossum_last_flush_timestamp_seconds", kind: gauge, unit: "seconds since 1970",
		help:  "When the last fsync of the log ended that succeeded, 0 if there was none since Open.",
		value: func(m *opossum.Metrics) float64 { return timestamp(m.LastFlush) }},
	{field: "FlushFailures", name: "opossum_flush_failures_total", kind: counter, unit: "calls",
		help:  "Writes and fsyncs of the log that failed. The first one poisons the engine.",
		value: func(m *opossum.Metrics) float64 { return float64(m.FlushFailures) }},

	{field: "LagEvents", name: "opossum_lag_events", kind: gauge, unit: "events",
		help:  "Events not yet filed and checkpointed.",
		value: func(m *opossum.Metrics) float64 { return float64(m.LagEvents) }},
	{field: "LagBytes", name: "opossum_lag_bytes", kind: gauge, unit: "bytes",
		help:  "Bytes in the log of events not yet filed and checkpointed.",
		value: func(m *opossum.Metrics) float64 { return float64(m.LagBytes) }},
	{field: "LagTime", name: "opossum_lag_seconds", kind: gauge, unit: "seconds",
		help:  "For how long the oldest event has been acknowledged that is not yet filed and checkpointed.",
		value: func(m *opossum.Metrics) float64 { return m.LagTime.Seconds() }},
	{field: "Held", name: "opossum_appends_held_total", kind: counter, unit: "appends",
		help:  "Appends that had to wait for filing, or for the index.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Held) }},

	{field: "RecentBytes", name: "opossum_index_recent_bytes", kind: gauge, unit: "bytes",
		help:  "Memory that the index of the newest events takes, about.",
		value: func(m *opossum.Metrics) float64 { return float64(m.RecentBytes) }},
	{field: "RecentBudget", name: "opossum_recent_index_budget_bytes", kind: gauge, unit: "bytes",
		help:  "Memory that the index of the newest events should take: RecentBytes of the options.",
		value: func(m *opossum.Metrics) float64 { return float64(m.RecentBudget) }},
	{field: "PlacesBytes", name: "opossum_places_bytes", kind: gauge, unit: "bytes",
		help:  "Memory that the places of events in the log take.",
		value: func(m *opossum.Metrics) float64 { return float64(m.PlacesBytes) }},
	{field: "CacheBytes", name: "opossum_cache_bytes", kind: gauge, unit: "bytes",
		help:  "Memory that decompressed blocks of packs take.",
		value: func(m *opossum.Metrics) float64 { return float64(m.CacheBytes) }},
	{field: "CacheBudget", name: "opossum_cache_budget_bytes", kind: gauge, unit: "bytes",
		help:  "Memory that they may take: CacheBytes of the options.",
		value: func(m *opossum.Metrics) float64 { return float64(m.CacheBudget) }},
	{field: "CacheHits", name: "opossum_cache_hits_total", kind: counter, unit: "blocks",
		help:  "Blocks of packs that were found decompressed.",
		value: func(m *opossum.Metrics) float64 { return float64(m.CacheHits) }},
	{field: "CacheMisses", name: "opossum_cache_misses_total", kind: counter, unit: "blocks",
		help:  "Blocks of packs that had to be read.",
		value: func(m *opossum.Metrics) float64 { return float64(m.CacheMisses) }},
	{field: "OpenPacks", name: "opossum_open_packs", kind: gauge, unit: "packs",
		help:  "Packs that are kept open.",
		value: func(m *opossum.Metrics) float64 { return float64(m.OpenPacks) }},
	{field: "Segments", name: "opossum_index_segments", kind: gauge, unit: "segments",
		help:  "Segments of the index on the disk.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Segments) }},
	{field: "SegmentBytes", name: "opossum_index_segment_bytes", kind: gauge, unit: "bytes",
		help:  "Bytes in the segments of the index.",
		value: func(m *opossum.Metrics) float64 { return float64(m.SegmentBytes) }},
	{field: "Seals", name: "opossum_index_seals_total", kind: counter, unit: "segments",
		help:  "Segments of the index written from memory.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Seals) }},
	{field: "Merges", name: "opossum_index_merges_total", kind: counter, unit: "merges",
		help:  "Merges of segments of the index.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Merges) }},
	{field: "Rebuilt", name: "opossum_index_segments_rebuilt_total", kind: counter, unit: "segments",
		help:  "Segments of the index that were damaged, and built anew.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Rebuilt) }},

	{field: "Files", name: "opossum_event_files_written_total", kind: counter, unit: "files",
		help:  "Event files written.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Files) }},
	{field: "Packs", name: "opossum_packs_written_total", kind: counter, unit: "packs",
		help:  "Packs written.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Packs) }},
	{field: "PackedEvents", name: "opossum_packed_events_total", kind: counter, unit: "events",
		help:  "Events in the packs written.",
		value: func(m *opossum.Metrics) float64 { return float64(m.PackedEvents) }},
	{field: "Checkpoints", name: "opossum_checkpoints_total", kind: counter, unit: "checkpoints",
		help:  "Checkpoints: event files made durable, and the ledger told.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Checkpoints) }},
	{field: "Generations", name: "opossum_log_generations", kind: gauge, unit: "generations",
		help:  "Generations of the log on the disk.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Generations) }},
	{field: "Rotations", name: "opossum_log_rotations_total", kind: counter, unit: "rotations",
		help:  "Rotations of the log to a new generation.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Rotations) }},
	{field: "Trimmed", name: "opossum_log_generations_trimmed_total", kind: counter, unit: "generations",
		help:  "Generations of the log deleted.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Trimmed) }},
	{field: "FilingStalled", name: "opossum_filing_stalled", kind: gauge, unit: "0 or 1",
		help:  "1 while an error of the file system holds up filing.",
		value: func(m *opossum.Metrics) float64 { return flag(m.FilingStalled) }},

	{field: "LogReads", name: "opossum_events_read_from_log_total", kind: counter, unit: "events",
		help:  "Events read whose bodies were in the log.",
		value: func(m *opossum.Metrics) float64 { return float64(m.LogReads) }},
	{field: "FileReads", name: "opossum_events_read_from_files_total", kind: counter, unit: "events",
		help:  "Events read whose bodies were in files and packs.",
		value: func(m *opossum.Metrics) float64 { return float64(m.FileReads) }},
	{field: "Subscriptions", name: "opossum_subscriptions", kind: gauge, unit: "subscriptions",
		help:  "Subscriptions whose events are being yielded or waited for.",
		value: func(m *opossum.Metrics) float64 { return float64(m.Subscriptions) }},

	{field: "Poisoned", name: "opossum_poisoned", kind: gauge, unit: "0 or 1",
		help:  "1 after a write or sync has failed: no append succeeds until the store is opened again.",
		value: func(m *opossum.Metrics) float64 { return flag(m.Poisoned) }},
	{field: "DiskFull", name: "opossum_disk_full", kind: gauge, unit: "0 or 1",
		help:  "1 while free space is below the floor, and appends are refused.",
		value: func(m *opossum.Metrics) float64 { return flag(m.DiskFull) }},
}

// distribution is what a histogram has counted, in base units.
type distribution struct {
	count   uint64
	sum     float64
	buckets map[float64]uint64 // by their upper bounds, each with all that is below
}

func latencies(s opossum.Latencies) distribution {
	d := distribution{s.Count, s.Sum.Seconds(), make(map[float64]uint64, len(s.Buckets))}
	for _, b := range s.Buckets {
		d.buckets[b.UpTo.Seconds()] = b.Count
	}
	return d
}

func sizes(s opossum.Sizes) distribution {
	d := distribution{s.Count, float64(s.Sum), make(map[float64]uint64, len(s.Buckets))}
	for _, b := range s.Buckets {
		d.buckets[float64(b.UpTo)] = b.Count
	}
	return d
}

// timestamp returns t in seconds since 1970, 0 for the zero time.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix()) + float64(t.Nanosecond())/1e9 // nanoseconds since 1970 are more than a float64 holds
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
