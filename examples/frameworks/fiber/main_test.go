package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/frameworks/product"
	"github.com/twofa-go/twofa/examples/frameworks/walk"
)

func TestProgram(t *testing.T) { walk.Open(t, newHandler).All() }

// Clients cannot choose the user in the header that fiber reads.
func TestProgram_ReplacesTheHeaderOfTheUser(t *testing.T) {
	b := walk.Open(t, newHandler)
	require.Equal(t, "/", b.Login(product.Password).Location)
	require.Contains(t, b.Send("GET", "/", nil, userHeader, "other").Body, "Hello "+product.Name)
}
