package twofahttp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
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
