// Package index answers which positions match a query, and where in the log their bodies are.
//
// Today it is one part, Recent, which lives in memory and covers everything; a View is what readers and condition
// checks rest on, so that on-disk segments can join it without anyone else noticing.
package index
