// Package ioerror lets the store meet errors of its disk, injected at every step and real ones, and demands that every answer stays true.
package ioerror
