package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/frameworks/product"
	"github.com/twofa-go/twofa/examples/frameworks/walk"
)

func TestProgram(t *testing.T) { walk.Open(t, newHandler).All() }

func TestProgram_RedirectsHTMX(t *testing.T) {
	b := walk.Open(t, newHandler)
	press := func() walk.Answer {
		return b.Send("POST", "/export", nil, "Accept", "*/*", "HX-Request", "true", "HX-Current-URL", b.URL+"/", "Sec-Fetch-Mode", "cors")
	}
	a := press()
	require.Equal(t, http.StatusUnauthorized, a.Status)
	require.Equal(t, "/login", a.Header.Get("HX-Redirect"))
	require.Equal(t, "/", b.Login(product.Password).Location)
	require.Contains(t, b.Get("/").Body, `hx-post="/export"`)
	b.Enroll()
	b.Wait()
	a = press()
	require.Equal(t, http.StatusUnauthorized, a.Status)
	confirm := a.Header.Get("HX-Redirect")
	require.Equal(t, "/2fa/confirm?action=export&next=%2F&resource=", confirm)
	require.Equal(t, "/2fa/challenge", b.Get(confirm).Location)
	b.Prove()
	require.Equal(t, product.Contacts, press().Body)
	require.NotEmpty(t, press().Header.Get("HX-Redirect"))
}
