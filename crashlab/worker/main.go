// The process that the crash lab crashes. Run by itself it waits for a task on standard input; the lab builds it, also with sabotaged engines.
package main

import (
	"os"

	"opossum/crashlab/internal/child"
)

func main() { os.Exit(child.Main()) }
