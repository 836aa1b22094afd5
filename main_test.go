package opossum

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childMains are what this test binary does instead of testing when a test starts it as a child process with the name in
// OPOSSUM_TEST_CHILD. They end with os.Exit or return. Files add theirs in an init.
var childMains = map[string]func(){}

func TestMain(m *testing.M) {
	if name := os.Getenv("OPOSSUM_TEST_CHILD"); name != "" {
		child, ok := childMains[name]
		if !ok {
			fmt.Fprintln(os.Stderr, "no such child:", name)
			os.Exit(3)
		}
		child()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
