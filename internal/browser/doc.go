// Package browser tests twofa in real browsers, which walk through the pages of
// the running example product: Chromium over the DevTools protocol, Firefox over
// Marionette, and WebKit, the engine of Safari, over WebDriver. It is a module of
// its own and is never tagged, so its dependencies stay out of the go.sum of the
// library's users.
package browser
