package metrics_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"opossum"
	"opossum/metrics"
)

// scrape prints the metrics of this name, as Prometheus gets them.
func scrape(h http.Handler, name string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), name+"{") {
			fmt.Println(lines.Text())
		}
	}
}

// Two engines, told apart by a label, in one registry.
func ExampleNewCollector() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	registry := prometheus.NewRegistry()
	for _, name := range []string{"billing", "sales"} {
		store, err := opossum.Open(filepath.Join(dir, name), nil)
		if err != nil {
			log.Fatal(err)
		}
		defer store.Close()
		if _, err := store.Append(context.Background(), []opossum.Event{{Type: "Opened"}}, nil); err != nil {
			log.Fatal(err)
		}
		registry.MustRegister(metrics.NewCollector(store, prometheus.Labels{"context": name}))
	}
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) // http.Handle("/metrics", handler)
	scrape(handler, "opossum_appends_total")
	scrape(handler, "opossum_flush_strategy_info")
	// Output:
	// opossum_appends_total{context="billing"} 1
	// opossum_appends_total{context="sales"} 1
	// opossum_flush_strategy_info{context="billing",strategy="batch"} 1
	// opossum_flush_strategy_info{context="sales",strategy="batch"} 1
}

// Contexts that are opened and closed while the program runs: a scrape sees those that are there.
func ExampleNewContextsCollector() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	root, err := opossum.OpenRoot(dir, &opossum.RootOptions{Create: true})
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewContextsCollector(root.Opened(), nil))
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	for _, name := range []string{"billing", "sales"} {
		if _, err := root.Context(name); err != nil {
			log.Fatal(err)
		}
		fmt.Println("opened", name)
		scrape(handler, "opossum_poisoned")
	}
	// Output:
	// opened billing
	// opossum_poisoned{context="billing"} 0
	// opened sales
	// opossum_poisoned{context="billing"} 0
	// opossum_poisoned{context="sales"} 0
}
