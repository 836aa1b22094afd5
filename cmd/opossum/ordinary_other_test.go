//go:build !unix

package main

import "github.com/rogpeppe/go-internal/testscript"

// ordinary exists where permissions are those of Unix; scripts ask for that.
func ordinary(ts *testscript.TestScript, _ bool, _ []string) { ts.Fatalf("no ordinary user here") }
