package chart

import "math"

// Samples are the pictures that a report is made of, with made-up figures.
func Samples() map[string]Chart {
	return map[string]Chart{
		"writers": writers(), "latency": latency(), "amplification": amplification(), "time": overTime(), "growth": Growth(), "opens": opens(),
	}
}

func sampleSeries(name string, xs, ys []float64, spread float64) Series {
	s := Series{Name: name, Ours: name == "opossum"}
	for i, y := range ys {
		s.Points = append(s.Points, Point{X: xs[i], Y: y, Low: y * (1 - spread), High: y * (1 + spread*float64(i+1)/2)})
	}
	return s
}

func writers() Chart {
	xs := []float64{1, 4, 16, 64, 256, 1024}
	ceiling := sampleSeries("one pre-written file, fdatasync", xs, []float64{5200, 19000, 48000, 110000, 260000, 310000}, 0)
	ceiling.Dashed = true
	return Chart{
		Title: "Group commit makes 64 writers 17 times as fast as one, and every rival is behind from 4 writers on",
		Note:  "Durable conditional appends of one tagged event of 256 B. Median of 5 rounds, whiskers from the slowest to the fastest.",
		X:     Axis{Label: "writers", Scale: Log},
		Y:     Axis{Label: "events per second", Scale: Log},
		Series: []Series{
			sampleSeries("opossum", xs, []float64{4400, 14000, 32000, 75000, 200000, 230000}, 0.07),
			sampleSeries("Pebble", xs, []float64{4100, 9900, 21000, 44000, 71000, 80000}, 0.1),
			sampleSeries("bbolt", xs, []float64{2200, 2150, 2180, 2240, 2210, 2190}, 0.05),
			sampleSeries("Badger", xs, []float64{3100, 6200, 12500, 23000, 31000, 33000}, 0.12),
			sampleSeries("SQLite (WAL, FULL)", xs, []float64{2900, 2810, 2700, 2500, 2300, 2000}, 0.15),
			sampleSeries("NATS JetStream", xs, []float64{1900, 2000, 2050, 2100, 2120, 2100}, 0.08),
			sampleSeries("file per event", xs, []float64{600, 560, 480, 485, 490, 470}, 0.06),
			sampleSeries("file per event, no index", xs, []float64{1450, 1500, 1510, 1490, 1400, 1380}, 0.06),
			sampleSeries("file per event, one sync per batch", xs, []float64{610, 570, 490, 495, 500, 480}, 0.06),
			sampleSeries("bare log", xs, []float64{4900, 17000, 41000, 98000, 240000, 280000}, 0.05),
			ceiling,
		},
		Marks: []Mark{{At: 667, Label: "667: what the original claims for one writer on NVMe"}},
	}
}

func latency() Chart {
	var xs []float64
	for d := 0.0; d <= 4.01; d += 0.1 {
		xs = append(xs, 1-math.Pow(10, -d))
	}
	curve := func(base, tail float64) []float64 {
		var out []float64
		for _, x := range xs {
			out = append(out, base*(0.7+math.Pow(-math.Log10(1-x)/2, 3)*tail))
		}
		return out
	}
	return Chart{
		Title: "99 of 100 appends are durable within 2 ms, at 64 writers and with filing on",
		X:     Axis{Label: "percentile of appends", Scale: Percentile},
		Y:     Axis{Label: "latency, corrected for coordinated omission", Unit: Seconds, Scale: Log},
		Series: []Series{
			sampleSeries("opossum", xs, curve(850e-6, 1), 0.2), sampleSeries("Pebble", xs, curve(1.5e-3, 2), 0.3),
			sampleSeries("bbolt", xs, curve(29e-3, 0.3), 0.1), sampleSeries("SQLite (WAL, FULL)", xs, curve(24e-3, 9), 0.4),
		},
	}
}

func one(name string, y float64) Series {
	return Series{Name: name, Ours: name == "opossum", Points: []Point{{Y: y, Low: y * 0.94, High: y * 1.08}}}
}

func amplification() Chart {
	return Chart{
		Title: "opossum writes 3.1 bytes for each byte of an event, a file per event 48", Kind: Bars, Order: Rising,
		Y:      Axis{Label: "bytes written to the device for each byte of events", Unit: Times},
		Series: []Series{one("file per event", 48.2), one("opossum", 3.1), one("bbolt", 33.7), one("Pebble", 4.4), one("Badger", 5.9), one("SQLite (WAL, FULL)", 21), one("NATS JetStream", 2.6)},
		Marks:  []Mark{{At: 1, Label: "what there is to write"}},
	}
}

func overTime() Chart {
	wave := func(n int, f func(t float64) float64) (out []Point) {
		for i := range n {
			out = append(out, Point{X: float64(i), Y: f(float64(i))})
		}
		return out
	}
	return Chart{
		Title: "A minute of appends at full speed: the pace holds, and filing stays 40,000 events behind",
		X:     Axis{Label: "since the start", Unit: Seconds},
		Y:     Axis{Label: "events per second"},
		Series: []Series{
			{Name: "filing on", Ours: true, Points: wave(61, func(t float64) float64 { return 61000 + 5000*math.Sin(t) })},
			{Name: "filing paused", Points: wave(61, func(t float64) float64 { return 72000 + 3000*math.Cos(t*1.7) })},
		},
		Marks: []Mark{{At: 30, OnX: true, Label: "writers double"}},
		Below: &Chart{
			Y:      Axis{Label: "events not filed yet"},
			Series: []Series{{Name: "filing on", Ours: true, Points: wave(61, func(t float64) float64 { return 40000 * (1 - math.Exp(-t/8)) })}},
		},
	}
}

func Growth() Chart {
	xs := []float64{0, 1e6, 3e6, 1e7}
	return Chart{
		Title: "Ten million events later, opossum has kept 93 % of its speed",
		X:     Axis{Label: "events in the store"}, Y: Axis{Label: "events per second"},
		Series: []Series{
			sampleSeries("opossum", xs, []float64{75000, 74000, 72500, 70000}, 0.05), sampleSeries("Pebble", xs, []float64{44000, 43000, 38000, 33000}, 0.1),
			sampleSeries("bbolt", xs, []float64{2240, 1900, 1500, 1100}, 0.1), sampleSeries("SQLite (WAL, FULL)", xs, []float64{2500, 2100, 1900, 1650}, 0.1),
		},
	}
}

func opens() Chart {
	both := func(name string, clean, kill float64) Series {
		return sampleSeries(name, []float64{0, 1}, []float64{clean, kill}, 0.2)
	}
	return Chart{
		Title: "After a kill, opossum opens a million events in 240 ms", Kind: Bars, Order: Rising,
		X:      Axis{Names: []string{"after a clean close", "after a kill"}},
		Y:      Axis{Label: "time until the first append", Unit: Seconds, Scale: Log},
		Series: []Series{both("opossum", 0.0041, 0.24), both("Pebble", 0.011, 0.085), both("bbolt", 0.0006, 0.0007), both("SQLite (WAL, FULL)", 0.0012, 0.031), both("Badger", 0.2, 1.31)},
	}
}
