// Package powercut cuts the power of real file systems under the store, again and again in the life of one store, and judges it each time.
package powercut
