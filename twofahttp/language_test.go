package twofahttp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/pseudo"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/twofahttp"
)

// Mail is in the language of the request.
func TestClient_Language(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink(), func(c *twofa.Config, _ *twofahttp.Config) {
		c.Languages = []*locale.Catalog{locale.English(), de.Catalog()}
	})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://app.example.com/", nil)
	r.Header.Set("Accept-Language", "de-CH,de;q=0.9,en;q=0.8")
	client := h.web.Client(httptest.NewRecorder(), r)
	require.Equal(t, "de-CH,de;q=0.9,en;q=0.8", client.Language)
	login, err := h.m.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: client})
	require.NoError(t, err)
	_, err = h.m.Send(t.Context(), client, login.Challenge, twofa.EmailLink)
	require.NoError(t, err)
	require.Equal(t, "Bei Acme anmelden", h.outbox.mails[0].Subject)
}

// In a page that is written from right to left, a name that is written from left
// to right keeps its order, also in the title. Pages in English need no invisible
// characters, except for names that need them.
func TestPages_IsolateNames(t *testing.T) {
	rtl := pseudo.RightToLeft()
	h := newHost(t, twofa.PolicyOptional(), func(c *twofa.Config, w *twofahttp.Config) {
		c.Languages = []*locale.Catalog{locale.English(), rtl}
		w.Language = func(r *http.Request) string { return r.Header.Get("Test-Language") }
	})
	b := h.browser()
	b.enroll("ada")
	id := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
	for name, want := range map[string][2]string{
		"Work phone.": {"Work phone.", "\u2068Work phone.\u2069"},
		"טלפון 2!":    {"\u2068טלפון 2!\u2069", "\u2068טלפון 2!\u2069"},
	} {
		require.Equal(t, http.StatusSeeOther, b.post("/2fa/factors/rename", "id", id, "name", name).StatusCode)
		for i, c := range []*locale.Catalog{locale.English(), rtl} {
			b.header.Set("Test-Language", c.Tag())
			page := b.get("/2fa/factors/rename?id=" + id).Body
			require.Contains(t, page, "<h1>"+c.Text("page.change.rename.title", locale.Args{"name": want[i]})+"</h1>")
			require.Contains(t, page, `value="`+name+`"`)
		}
	}
}
