package browser

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofatest"
)

// A camera sees the page around the QR code too. In the dark color scheme only
// the quiet zone separates the code from the dark page.
func TestAbuse_T04_QRCodeOnADarkPage(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s := newSite(t)
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	jon.goTo("/2fa/setup?start=1")
	jon.press("Set up authenticator app")
	uri := eval[string](jon, named("App on this device? Open it")+`.getAttribute('href')`)
	for _, scheme := range []string{"light", "dark"} {
		jon.prefer("", scheme)
		picture := jon.whole()
		require.Equal(t, uri, zbarimg(t, picture), scheme)
		require.Equal(t, uri, jsQR(t, picture), scheme)
	}

	phone := jon.scan()
	code := phone.code()
	require.Equal(t, code, otpauthCode(t, uri, phone.used), "other apps must show the same code")
	jon.fill("Enter the 6-digit code from the app", code)
	jon.press("Continue")
	require.Len(t, jon.codes(), 10)
}

func TestAbuse_T04_QRCodeOfAnyName(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	for _, c := range []struct{ issuer, account string }{
		{"Acme", "ada@example.com"},
		{"R&D + Söhne = 100 %", "ada+test@example.com"},
		{"Boot & Café ⛵🚀", "Zoë Ñandú 👩‍🚀"},
		{"日本の会社", "アダ"},
	} {
		t.Run(c.issuer, func(t *testing.T) {
			e := enrollment(t, c.issuer, c.account)
			uri := e.URI.Reveal()
			png, err := e.PNG(4)
			require.NoError(t, err)
			require.Equal(t, uri, zbarimg(t, png))
			require.Equal(t, uri, jsQR(t, png))

			svg, err := e.SVG()
			require.NoError(t, err)
			b := (&site{t: t, in: inChromium}).browser(t)
			b.goTo("data:text/html;base64," + base64.StdEncoding.EncodeToString([]byte(
				`<!doctype html><meta charset="utf-8"><body style="background: #000; width: 320px">`+svg)))
			shown := b.element("svg")
			require.Equal(t, uri, zbarimg(t, shown))
			require.Equal(t, uri, jsQR(t, shown))
			require.Equal(t, twofatest.Code(t, uri, time.Unix(1_800_000_000, 0)), otpauthCode(t, uri, 60_000_000))
		})
	}
}

// enrollment starts an enrollment with the library alone, without the example.
func enrollment(t *testing.T, issuer, account string) twofa.Enrollment {
	t.Helper()
	m, err := twofa.New(twofa.Config{Issuer: issuer, Store: memstore.New(), Keys: twofatest.KeyRing(t, "browser"),
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id, Name: account}, nil })})
	require.NoError(t, err)
	login, err := m.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
	require.NoError(t, err)
	e, err := m.Enroll(t.Context(), twofa.Caller{Session: login.Session}, twofa.EnrollRequest{Method: twofa.TOTP})
	require.NoError(t, err)
	return e
}
