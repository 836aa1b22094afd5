// Package rot damages files of every kind in stores at rest: whatever is damaged is named, or it is of no consequence, and nothing altered is ever
// returned.
package rot
