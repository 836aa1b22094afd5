package tracing_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"opossum"
	"opossum/tracing"
)

// Spans of an engine are children of those of its caller. In place of the recorder stands the exporter of your choice.
func ExampleNew() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))

	store, err := opossum.Open(dir, &opossum.Options{
		Tracer: tracing.New(provider, attribute.String("opossum.context", "sales")),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	ctx, request := provider.Tracer("shop").Start(context.Background(), "POST /orders")
	if _, err := store.Append(ctx, []opossum.Event{{Type: "OrderPlaced"}}, nil); err != nil {
		log.Fatal(err)
	}
	request.End()

	for _, span := range recorder.Ended() {
		fmt.Println(span.Name(), span.Parent().SpanID() == request.SpanContext().SpanID())
	}
	// Output:
	// EventStore.Append true
	// POST /orders false
}
