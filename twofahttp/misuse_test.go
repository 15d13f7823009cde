package twofahttp_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofahttp"
)

// newWith returns the error of New for a Manager whose links lead to an address.
func newWith(t *testing.T, link func(twofa.LinkRequest) string, c twofahttp.Config) error {
	t.Helper()
	keys, err := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	require.NoError(t, err)
	mc := twofa.Config{Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(nil)}
	if link != nil {
		mc.Mail = twofa.MailConfig{Mailer: &outbox{}, LinkURL: link}
	}
	c.Manager, err = twofa.New(mc)
	require.NoError(t, err)
	c.Sessions = &sessions{}
	_, err = twofahttp.New(c)
	return err
}

// Links that lead to another page than ours would let nobody sign in by link.
func TestMisuse_LinksThatLeadElsewhere(t *testing.T) {
	own := func(address string) func(twofa.LinkRequest) string {
		return func(l twofa.LinkRequest) string { return address + l.Token.Reveal() }
	}
	for name, c := range map[string]struct {
		link   func(twofa.LinkRequest) string
		prefix string
	}{
		"another prefix":         {twofahttp.LinkURL("https://app.example.com/2fa/"), "/security/"},
		"the default prefix":     {twofahttp.LinkURL("https://app.example.com/security/"), ""},
		"the root":               {twofahttp.LinkURL("https://app.example.com/"), ""},
		"a prefix of the prefix": {twofahttp.LinkURL("https://app.example.com/2fa/"), "/app/2fa/"},
		"another page":           {own("https://app.example.com/2fa/verify?token="), ""},
		"a token in the path":    {own("https://app.example.com/2fa/link/"), ""},
		"another parameter":      {own("https://app.example.com/2fa/link?t="), ""},
		"a fragment":             {own("https://app.example.com/2fa/link#token="), ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := newWith(t, c.link, twofahttp.Config{Prefix: c.prefix})
			require.ErrorContains(t, err, "Mail.LinkURL leads to")
			require.ErrorContains(t, err, "link?token=")
		})
	}
	require.NoError(t, newWith(t, nil, twofahttp.Config{Prefix: "/security/"}))
	require.NoError(t, newWith(t, twofahttp.LinkURL("https://app.example.com/security"), twofahttp.Config{Prefix: "/security/"}))
	require.NoError(t, newWith(t, own("https://app.example.com/2fa/link?lang=de&token="), twofahttp.Config{}))
}

// Pages and authenticator apps name the same product.
func TestMisuse_TwoIssuers(t *testing.T) {
	require.ErrorContains(t, newWith(t, nil, twofahttp.Config{Issuer: "Acme Inc."}), `Issuer: must be empty or "Acme", the Issuer of the Manager, is "Acme Inc."`)
	require.NoError(t, newWith(t, nil, twofahttp.Config{Issuer: "Acme"}))
	require.NoError(t, newWith(t, nil, twofahttp.Config{}))

	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) { c.Issuer = "" })
	b, _, _ := h.pending("ada")
	require.True(t, strings.Contains(b.get("/2fa/challenge").Body, "Acme"))
}
