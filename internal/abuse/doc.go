// Package abuse tests package twofa through its exported API. Most tests are
// abuse cases, which docs/abuse-cases.md lists by ID. The others are the
// scenarios, faults of stores and senders, the cost in round trips, fuzz tests
// and benchmarks.
package abuse
