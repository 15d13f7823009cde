package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
)

// tb replaces the t of a test for the packages that tests share.
type tb struct {
	testing.TB // nil: other methods are not called
	cleanups   []func()
}

// stop ends a section, like the Goexit of a test.
type stop struct {
	failed bool
	reason string
}

// run runs f and the cleanups, and reports whether nothing failed.
func (t *tb) run(f func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			s, stopped := p.(stop)
			if !stopped {
				panic(p)
			}
			fmt.Fprintln(os.Stderr, s.reason)
			ok = !s.failed
		}
	}()
	defer func() {
		for _, cleanup := range slices.Backward(t.cleanups) {
			cleanup()
		}
	}()
	f()
	return true
}

func (t *tb) Helper()                  {}
func (t *tb) Context() context.Context { return context.Background() }
func (t *tb) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *tb) Fatal(args ...any)        { panic(stop{true, "bench: " + fmt.Sprint(args...)}) }

func (t *tb) Fatalf(format string, args ...any) {
	panic(stop{true, "bench: " + fmt.Sprintf(format, args...)})
}

func (t *tb) Skipf(format string, args ...any) {
	panic(stop{false, "bench: skipped: " + fmt.Sprintf(format, args...)})
}

// must ends the section if err is not nil.
func (t *tb) must(err error) {
	if err != nil {
		t.Fatal(err)
	}
}
