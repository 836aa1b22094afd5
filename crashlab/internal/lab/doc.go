// Package lab is the bench on which crash techniques run: cases that are numbered, tallies of what they verified, findings that can be replayed alone.
//
// A technique is one way to crash or damage a store on one kind of file system. It is a function from (seed, index) to a case, so that cases run
// in any order, beside each other, and one at a time.
package lab
