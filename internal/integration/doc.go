// Package integration tests twofa against real databases, servers and
// browsers. It is a module of its own, never tagged, so that what it needs
// stays out of everybody's go.sum.
package integration
