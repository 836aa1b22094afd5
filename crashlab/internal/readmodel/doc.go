// Package readmodel is the read models that the lab crashes: their definitions, an owner that keeps them and is never content, and the judge of what a crash has left of them.
package readmodel
