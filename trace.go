package opossum

import "context"

// Tracer is told of operations. Its methods are called by many goroutines at once, on the path of each operation: they should be quick.
type Tracer interface {
	// Start is called when an operation begins. What it returns is called once, when the operation ends.
	Start(ctx context.Context, op Operation) (end func(Outcome))
}

// Operation is what begins.
type Operation struct {
	Name   OperationName
	Store  string // the absolute path of its directory
	Events int    // to be appended
}

// OperationName says what an operation does.
type OperationName string

// The operations. A read lasts from the first event that is asked for until the loop over its events ends, wherever it ends.
const (
	OperationAppend   OperationName = "append"
	OperationRead     OperationName = "read"
	OperationReadLast OperationName = "read_last"
)

// Outcome is how an operation ended.
type Outcome struct {
	Events   int      // appended or yielded
	Position Position // of the last event that was appended; 0 of reads
	Err      error    // nil: none; errors.Is tells a conflict from a failure
}

// traceReads returns what tells the tracer of reads, nil if there is none.
func (e *Engine) traceReads() func(ctx context.Context, last bool) func(events int, err error) {
	if e.opts.Tracer == nil {
		return nil
	}
	return func(ctx context.Context, last bool) func(int, error) {
		op := Operation{Name: OperationRead, Store: e.dir}
		if last {
			op.Name = OperationReadLast
		}
		end := e.opts.Tracer.Start(ctx, op)
		return func(events int, err error) { end(Outcome{Events: events, Err: err}) }
	}
}
