// Package tracing makes OpenTelemetry spans of what an engine does.
//
// It needs the API of OpenTelemetry only: the program chooses the SDK. docs/metrics.md lists spans and attributes.
package tracing

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"opossum"
)

// Scope is the name of the instrumentation, under which a provider makes the spans.
const Scope = "opossum"

// Keys of the attributes of spans.
const (
	SystemKey     = attribute.Key("db.system.name")          // always "opossum"
	OperationKey  = attribute.Key("db.operation.name")       // an opossum.OperationName
	StoreKey      = attribute.Key("opossum.store")           // the absolute path of the store's directory
	EventCountKey = attribute.Key("opossum.event_count")     // to be appended; of a read, yielded
	PositionKey   = attribute.Key("opossum.position")        // of the last event that was appended
	ConflictKey   = attribute.Key("opossum.append.conflict") // true if a condition failed, else absent
)

// New returns a tracer for Options.Tracer, of one engine or of many. tp is required: the provider of an SDK, or otel.GetTracerProvider(). The attributes
// are added to every span, such as opossum.context with the name of a context.
//
// A span is a child of the span in the context that was given to Append, Read or ReadLast. That of a read begins when the first event is asked for and
// ends with the loop over the events. Subscriptions, which may last for ever, have none.
//
// An error is recorded, and makes the status of the span Error. A condition that failed does neither: it is an answer.
func New(tp trace.TracerProvider, attrs ...attribute.KeyValue) opossum.Tracer {
	t := &tracer{tracer: tp.Tracer(Scope), options: make(map[opossum.OperationName]trace.SpanStartOption, len(names))}
	for operation := range names {
		all := append([]attribute.KeyValue{SystemKey.String("opossum"), OperationKey.String(string(operation))}, attrs...)
		t.options[operation] = trace.WithAttributes(all...)
	}
	return t
}

// names are those of the spans, as users of the original know them.
var names = map[opossum.OperationName]string{
	opossum.OperationAppend:   "EventStore.Append",
	opossum.OperationRead:     "EventStore.Read",
	opossum.OperationReadLast: "EventStore.ReadLast",
}

type tracer struct {
	tracer  trace.Tracer
	options map[opossum.OperationName]trace.SpanStartOption // the attributes that are always the same
}

// Start implements [opossum.Tracer]. What is known at the beginning is given at the beginning: samplers look at it.
func (t *tracer) Start(ctx context.Context, op opossum.Operation) func(opossum.Outcome) {
	own := []attribute.KeyValue{StoreKey.String(op.Store)}
	if op.Name == opossum.OperationAppend {
		own = append(own, EventCountKey.Int(op.Events))
	}
	_, span := t.tracer.Start(ctx, names[op.Name], t.options[op.Name], trace.WithAttributes(own...))
	if !span.IsRecording() {
		return func(opossum.Outcome) { span.End() }
	}
	return func(out opossum.Outcome) {
		defer span.End()
		if op.Name != opossum.OperationAppend {
			span.SetAttributes(EventCountKey.Int(out.Events))
		}
		switch {
		case out.Position > 0:
			span.SetAttributes(PositionKey.Int64(int64(out.Position)))
		case isConflict(out.Err):
			span.SetAttributes(ConflictKey.Bool(true))
			return
		}
		if out.Err != nil {
			span.RecordError(out.Err)
			span.SetStatus(codes.Error, out.Err.Error())
		}
	}
}

func isConflict(err error) bool {
	return errors.Is(err, opossum.ErrConditionFailed) || errors.Is(err, opossum.ErrAlreadyExists)
}
