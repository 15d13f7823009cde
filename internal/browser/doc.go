// Package browser tests twofa the way people meet it: the example product runs,
// and a real browser walks through its pages. It is a module of its own, never
// tagged, so that what it needs stays out of everybody's go.sum.
package browser
