package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"opossum"
)

// groupSizes says how many appends shared a write and a sync of the log.
type groupSizes struct {
	Groups  uint64  `json:"groups"`
	Syncs   uint64  `json:"syncs"`
	Mean    float64 `json:"mean"`
	Largest uint64  `json:"largest"`
}

func groupSizesOf(m opossum.Metrics) groupSizes {
	return groupSizes{m.Groups, m.Syncs, float64(m.Appends) / float64(max(m.Groups, 1)), m.GroupMost}
}

func (g groupSizes) text() string {
	return fmt.Sprintf("%.1f appends on average, %d at most; %s, %s", g.Mean, g.Largest, counted(g.Groups, "group"), counted(g.Syncs, "sync"))
}

// metric is one field of the engine's metrics.
type metric struct {
	name  string // as it is in Go
	value any    // durations are millis
}

// metricsOf lists the engine's metrics by reflection, so that one that is added there is shown here.
func metricsOf(m opossum.Metrics) []metric {
	v := reflect.ValueOf(m)
	list := make([]metric, v.NumField())
	for i := range list {
		value := v.Field(i).Interface()
		if d, ok := value.(time.Duration); ok {
			value = millis(d)
		}
		list[i] = metric{v.Type().Field(i).Name, value}
	}
	return list
}

// metricsJSON names the metrics as JSON does here.
func metricsJSON(list []metric) map[string]any {
	members := make(map[string]any, len(list))
	for _, m := range list {
		name := strings.ToLower(m.name[:1]) + m.name[1:]
		if _, ok := m.value.(millis); ok {
			name += "Ms"
		}
		members[name] = m.value
	}
	return members
}

// metricsLines are the metrics for people: LagBytes becomes "lag bytes".
func metricsLines(list []metric) []labelled {
	lines := make([]labelled, len(list))
	for i, m := range list {
		var label strings.Builder
		for i, r := range m.name {
			if unicode.IsUpper(r) && i > 0 {
				label.WriteByte(' ')
			}
			label.WriteRune(unicode.ToLower(r))
		}
		lines[i] = labelled{label.String(), m.text()}
	}
	return lines
}

// text is the value with its unit.
func (m metric) text() string {
	var n int64
	switch v := reflect.ValueOf(m.value); {
	case v.Type() == reflect.TypeFor[millis]():
		return fmt.Sprint(m.value)
	case v.Kind() == reflect.Bool:
		return map[bool]string{true: "yes", false: "no"}[v.Bool()]
	case v.CanUint():
		n = int64(v.Uint())
	case v.CanInt():
		n = v.Int()
	default:
		return fmt.Sprint(m.value)
	}
	if strings.HasSuffix(m.name, "Bytes") {
		return bytesText(n)
	}
	return comma(n)
}
