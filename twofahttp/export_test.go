package twofahttp

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Route is an entry of the route table.
type Route struct{ Method, Path string }

// Routes lists what the handler answers, for tests that walk all of it.
func Routes() []Route {
	var list []Route
	for _, rt := range routeTable() {
		list = append(list, Route{rt.method, rt.path})
	}
	return list
}

// ProblemCodes and AlertCodes are what pages have words for.
var ProblemCodes, AlertCodes = problemCodes, alertCodes

// PageFields lists what each page is given.
func PageFields() map[string][]string {
	fields := map[string][]string{}
	add := func(page string, data any) {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(data)) {
			if !slices.Contains(fields[page], f.Name) {
				fields[page] = append(fields[page], f.Name)
			}
		}
	}
	add("Every page", pageData{})
	add("Every page", alert{})
	for name, states := range sampleData() {
		add(strings.TrimSuffix(name, ".txt")+".html", states[0])
	}
	return fields
}

// ParseForm is what reads the body of every POST.
var ParseForm = parseForm

// Limiter is the limit in front of each address.
type Limiter struct{ l limiter }

// NewLimiter makes one.
func NewLimiter(n int, per time.Duration) Limiter { return Limiter{newLimiter(n, per)} }

// Take takes one token.
func (l Limiter) Take(addr netip.Addr, now time.Time) time.Duration {
	return l.l.take(networkOf(addr), now)
}

// GiveBack returns one.
func (l Limiter) GiveBack(addr netip.Addr) { l.l.giveBack(networkOf(addr)) }

// Len is how many addresses it remembers.
func (l Limiter) Len() int { return len(l.l.buckets) }
