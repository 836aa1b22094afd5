// Package child is the process that is crashed, both ends of its pipe: Main is what it does, Start and Do are how the lab runs it.
//
// A child gets its Task on standard input and ends when that is closed, so that none outlives the lab. It reports in lines, each with one write,
// to file descriptor 3: a pipe, or the mark file of a recorded disk. What it reported before the crash counts.
package child
