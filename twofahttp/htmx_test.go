package twofahttp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// A script that fetches HTML gets a problem document and not a page inside a
// page. htmx is told where to go.
func TestGuard_ScriptsThatFetchHTML(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	phone, _ := h.browser().enroll("ada")
	b := h.browser()
	fetch := func(method, path string, pairs ...string) answer {
		r := b.request(method, path, "")
		for i := 0; i < len(pairs); i += 2 {
			r.Header.Set(pairs[i], pairs[i+1])
		}
		return b.do(r)
	}
	for _, mode := range []string{"cors", "same-origin", "no-cors"} {
		a := fetch("GET", "/contacts", "Sec-Fetch-Mode", mode)
		require.Equal(t, 401, a.StatusCode, mode)
		require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
	}
	require.Equal(t, 303, fetch("GET", "/contacts", "Sec-Fetch-Mode", "navigate").StatusCode)

	current := []string{"HX-Request", "true", "HX-Current-URL", h.srv.URL + "/contacts?page=2", "Sec-Fetch-Mode", "cors"}
	a := fetch("GET", "/contacts", current...)
	require.Equal(t, 401, a.StatusCode)
	require.Equal(t, "/login?next=%2Fcontacts%3Fpage%3D2", a.Header.Get("HX-Redirect"))
	a = fetch("GET", "/contacts", "HX-Request", "true", "HX-Current-URL", "https://evil.example/x")
	require.Equal(t, "/login", a.Header.Get("HX-Redirect"), "the address of another site is not used")

	b.login("ada")
	b.prove(phone)
	h.clock.pass(16 * 60e9)
	a = fetch("POST", "/contacts/export", current...)
	require.Equal(t, 401, a.StatusCode)
	require.Equal(t, "/2fa/confirm?action=contacts.export&next=%2Fcontacts%3Fpage%3D2&resource=", a.Header.Get("HX-Redirect"))
}
