// Command bench prints what the library costs, as multiples of what the same
// work costs without it:
//
//	go run ./internal/bench [-quick] [-only sql] [-pin]
//
// Both sides of a ratio run in turn in one process, and the median is printed.
// It is a module of its own, because it needs drivers of databases.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// sizes are the numbers of runs and of operations in a run.
type sizes struct {
	runs   int // of each side of a ratio in this process
	sql    int // of each side of a ratio in a database
	ops    int // operations of a run in this process
	logins int // verifications of a run in a database
}

func main() {
	quick := flag.Bool("quick", false, "run shorter measurements")
	only := flag.String("only", "", "print only the rows whose name contains this text")
	pinned := flag.Bool("pin", false, "give a database server CPU 0 alone and this process the other CPUs, as if the server had a machine of its own (Linux, with taskset)")
	flag.Parse()
	n := sizes{runs: 10, sql: 5, ops: 2000, logins: 1600}
	if *quick {
		n = sizes{runs: 10, sql: 5, ops: 400, logins: 320}
	}
	fmt.Printf("%s %s/%s, %d CPUs, load %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), load())
	fmt.Printf("%-62s %6s  %s\n", "ratio", "median", "quartiles")
	selected := func(name string) bool { return strings.Contains(name, *only) }
	failed := false
	for _, section := range []func(*tb, sizes, report){inMemory, inDatabases} {
		t := &tb{}
		failed = !t.run(func() { section(t, n, report{selected, *pinned}) }) || failed
	}
	if failed {
		os.Exit(1)
	}
}

// report prints the selected rows.
type report struct {
	selected func(name string) bool
	pinned   bool // whether servers and this process have CPUs of their own
}

// ratio measures and prints the time of a as a multiple of that of b.
func (r report) ratio(name string, runs int, a, b func() time.Duration) {
	if r.selected(name) {
		r.print(name, alternate(runs, a, b))
	}
}

func (report) print(name string, ratios []float64) {
	middle, n := median(ratios), len(ratios)
	fmt.Printf("%-62s %6.2f  %.2f to %.2f\n", name, middle, ratios[n/4], ratios[n-1-n/4])
}

// median sorts values and returns the middle.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// alternate runs a and b in turn and returns the ratio of each pair. The first
// pair warms up and does not count.
func alternate(runs int, a, b func() time.Duration) (ratios []float64) {
	for range runs + 1 {
		first := a()
		ratios = append(ratios, float64(first)/float64(b()))
	}
	return ratios[1:]
}

// repeat returns a measurement of n calls of f.
func repeat(n int, f func()) func() time.Duration {
	return func() time.Duration {
		runtime.GC() // both sides begin with a clean heap
		start := time.Now()
		for range n {
			f()
		}
		return time.Since(start)
	}
}

// load returns the load average of the machine. If it is higher than the number
// of CPUs, other programs disturb the measurement.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(text), " ")
	return cmp.Or(one, "unknown")
}
