package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"opossum"
	"opossum/projection"
)

// Keys of the attributes of a rebuild, as users of the original know them.
const (
	ProjectionKey = attribute.Key("opossum.projection")          // the name of the read model
	ResumedKey    = attribute.Key("opossum.rebuild.resumed")     // it went on with what an interrupted rebuild had left
	ResumeFromKey = attribute.Key("opossum.rebuild.resume_from") // the position up to which that was
	ProcessedKey  = attribute.Key("opossum.events_processed")    // that are in the states
)

// NewRebuilds returns a tracer for projection.Options.Tracer, of one runner or of many; see [New]. Each attempt to rebuild a read model is a span; it is a child of the span in
// the context that was given to Rebuild, and has no parent if it began by itself. An error is recorded, and makes its status Error.
func NewRebuilds(tp trace.TracerProvider, attrs ...attribute.KeyValue) projection.Tracer {
	own := append([]attribute.KeyValue{SystemKey.String("opossum"), OperationKey.String("rebuild")}, attrs...)
	return &rebuilds{tracer: tp.Tracer(Scope), options: trace.WithAttributes(own...)}
}

type rebuilds struct {
	tracer  trace.Tracer
	options trace.SpanStartOption
}

// StartRebuild implements [projection.Tracer].
func (t *rebuilds) StartRebuild(ctx context.Context, id projection.Identity, from opossum.Position) func(projection.Progress, error) {
	own := []attribute.KeyValue{ProjectionKey.String(id.Name), ResumedKey.Bool(from > 0)}
	if from > 0 {
		own = append(own, ResumeFromKey.Int64(int64(from)))
	}
	_, span := t.tracer.Start(ctx, "Projection.Rebuild", t.options, trace.WithAttributes(own...))
	return func(p projection.Progress, err error) {
		defer span.End()
		span.SetAttributes(PositionKey.Int64(int64(p.Position)), ProcessedKey.Int64(int64(p.Events)))
		if err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, err.Error())
		}
	}
}
