package app

import "github.com/twofa-go/twofa"

// Manager gives tests what a support tool of the host's would have.
func (a *App) Manager() *twofa.Manager { return a.twofa }
