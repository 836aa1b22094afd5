package page_test

import (
	"opossum/bench/chart"
	"opossum/bench/page"
)

// sample is a report with made-up figures and everything a document may have.
func sample() page.Document {
	series := func(name string, ys ...float64) chart.Series {
		s := chart.Series{Name: name, Ours: name == "opossum"}
		for i, x := range []float64{1, 16, 64, 256}[:len(ys)] {
			s.Points = append(s.Points, chart.Point{X: x, Y: ys[i], Low: ys[i] * 0.93, High: ys[i] * 1.06})
		}
		return s
	}
	bar := func(name string, y float64) chart.Series {
		return chart.Series{Name: name, Ours: name == "opossum", Points: []chart.Point{{Y: y}}}
	}
	writers := chart.Chart{
		Title: "Group commit makes 256 writers 45 times as fast as one",
		Note:  "Durable conditional appends of one tagged event of 256 B. Median of 5 rounds, whiskers from the slowest to the fastest.",
		X:     chart.Axis{Label: "writers", Scale: chart.Log},
		Y:     chart.Axis{Label: "events per second", Scale: chart.Log},
		Series: []chart.Series{
			series("opossum", 4400, 32000, 75000, 200000), series("Pebble", 4100, 21000, 44000, 71000),
			series("bbolt", 2200, 2180, 2240, 2210), series("Badger", 3100, 12500, 23000, 31000),
			series("SQLite (WAL, FULL)", 2900, 2700, 2500, 2300), series("NATS JetStream", 1900, 2050, 2100, 2120),
			series("file per event", 600, 480, 485, 490),
		},
		Marks: []chart.Mark{{At: 667, Label: "667: the original's claim"}},
	}
	amplification := chart.Chart{
		Title: "opossum writes 3.1 bytes for each byte of an event, a file per event 48", Kind: chart.Bars, Order: chart.Rising,
		Y:      chart.Axis{Label: "bytes written for each byte of events", Unit: chart.Times},
		Series: []chart.Series{bar("file per event", 48.2), bar("opossum", 3.1), bar("bbolt", 33.7), bar("Pebble", 4.4), bar("SQLite (WAL, FULL)", 21)},
	}
	rates := page.Table{Title: "Durable conditional appends per second: median (slowest to fastest)", Head: []string{"way", "1 writer", "16 writers", "64 writers", "256 writers", "CPU per event", "allocations"}}
	rates.Rows = [][]page.Cell{
		{{Text: "opossum", Ours: true}, {Text: "4,400 (4,090–4,660)", Best: true}, {Text: "32,000 (29,800–33,900)", Best: true}, {Text: "75,000", Best: true}, {Text: "200,000", Best: true}, {Text: "9 µs"}, {Text: "11", Best: true}},
		page.Row("Pebble", "4,100 (3,810–4,350)", "21,000 (19,500–22,300)", "44,000", "71,000", "14 µs", "31"),
		page.Row("bbolt", "2,200", "2,180", "2,240", "2,210", "61 µs", "212"),
		page.Row("SQLite (WAL, FULL)", "2,900", "2,700", "2,500", "2,300", "88 µs", "45"),
		page.Row("file per event", "600", "480", "485", "490", "210 µs", "64"),
	}
	return page.Document{
		Title: "What durable appends cost",
		Lead:  "The same events made durable by opossum, by five stores that people would pick instead, and by a file per event. Every store does the same work: check a condition, append, sync.",
		Facts: []page.Fact{
			{"machine", "2 cores, 8 GiB"}, {"kernel", "Linux 6.1, ext4 `rw,relatime`"}, {"Go", "go1.26.8"}, {"commit", "`250c6a0`"}, {"command", "`go run ./bench --rounds 5`"},
		},
		Sections: []page.Section{
			{Title: "More writers, more events", Blocks: []page.Block{
				{Text: "One sync makes the events of all waiting writers durable. So each writer pays for a part of it only, and the rate grows with the writers until the processor is busy."},
				{Figure: &page.Figure{Name: "writers", Chart: writers}},
				{Table: &rates},
				{Note: "One writer waits for the disk and nothing else: do not conclude from the right end what a lone writer gets."},
			}},
			{Title: "What the device has to write", Blocks: []page.Block{
				{Text: "From `/proc/self/io`, over the whole run & <after> it."},
				{Figure: &page.Figure{Name: "amplification", Chart: amplification}},
			}},
		},
	}
}
