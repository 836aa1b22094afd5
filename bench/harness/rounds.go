package harness

import "slices"

// Interleave measures A B C A B C and not A A B B C C: a disk that is slow for a minute is then slow for all of them.
// It returns for each measure its results in the order of rounds.
func Interleave[T any](rounds int, measures ...func() (T, error)) ([][]T, error) {
	results := make([][]T, len(measures))
	for range rounds {
		for i, measure := range measures {
			r, err := measure()
			if err != nil {
				return nil, err
			}
			results[i] = append(results[i], r)
		}
	}
	return results, nil
}

// Spread sums up what several rounds showed.
type Spread struct {
	Median float64 `json:"median"` // the mean of the middle two if their number is even
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf sums up one number of each result. REQUIRES: there are results.
func SpreadOf[T any](results []T, number func(T) float64) Spread {
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = number(r)
	}
	slices.Sort(values)
	n := len(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1]}
}

// Ratios divides what a showed by what b showed in the same round, which cancels much of a disk's moods.
// REQUIRES: both have the same number of rounds, at least one.
func Ratios[T any](a, b []T, number func(T) float64) Spread {
	rounds := make([]int, len(a))
	for i := range rounds {
		rounds[i] = i
	}
	return SpreadOf(rounds, func(i int) float64 { return number(a[i]) / number(b[i]) })
}
