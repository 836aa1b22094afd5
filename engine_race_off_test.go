//go:build !race

package opossum

const raceEnabled = false
