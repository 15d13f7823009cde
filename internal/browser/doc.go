// Package browser tests twofa in a real browser, which walks through the pages
// of the running example product. It is a module of its own and is never
// tagged, so its dependencies stay out of the go.sum of the library's users.
package browser
