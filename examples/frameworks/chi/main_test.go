package main

import (
	"testing"

	"github.com/twofa-go/twofa/examples/frameworks/walk"
)

func TestProgram(t *testing.T) { walk.Open(t, newHandler).All() }
