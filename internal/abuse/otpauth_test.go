package abuse

import (
	"bytes"
	"encoding/base32"
	"encoding/xml"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/harness"
)

// issued starts an enrollment for a user with the given name at the given
// issuer.
func issued(t testing.TB, issuer, name string, edit ...func(*twofa.Config)) twofa.Enrollment {
	t.Helper()
	w := newWorld(t, append(edit, func(c *twofa.Config) { c.Issuer = issuer })...)
	w.setUser("ada", func(u *twofa.User) { u.Name = name })
	ada := w.person("ada")
	ada.begin()
	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	require.NoError(t, err)
	return e
}

// parts splits an otpauth URI by the grammar of the Key URI Format.
func parts(t testing.TB, uri string) (issuer, account string, q url.Values) {
	t.Helper()
	found := regexp.MustCompile(`^otpauth://totp/((?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+):((?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+)\?([A-Za-z0-9._~%&=-]+)$`).FindStringSubmatch(uri)
	require.NotNil(t, found, uri)
	q, err := url.ParseQuery(found[3])
	require.NoError(t, err)
	issuer, err = url.PathUnescape(found[1])
	require.NoError(t, err)
	account, err = url.PathUnescape(found[2])
	require.NoError(t, err)
	return issuer, account, q
}

func TestAbuse_T01_URI(t *testing.T) {
	e := issued(t, "ACME Co", "john.doe@email.com")
	uri := e.URI.Reveal()
	secret := strings.ReplaceAll(e.Key.Reveal(), " ", "")
	require.Equal(t, "otpauth://totp/ACME%20Co:john.doe%40email.com?secret="+secret+"&issuer=ACME%20Co&algorithm=SHA1&digits=6&period=30", uri)
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	require.NoError(t, err)
	require.Len(t, raw, 20)

	for _, name := range []string{"a+b@example.com", "a b", "100%", "a&issuer=Evil", "a?secret=AAAA", "a/../b", "#", "=", `"<>\`, "%40", "ünïcode"} {
		issuer, account, q := parts(t, issued(t, "R&D = 100%+", name).URI.Reveal())
		require.Equal(t, name, account)
		require.Equal(t, "R&D = 100%+", issuer)
		require.Equal(t, issuer, q.Get("issuer"))
		for key, values := range q {
			require.Len(t, values, 1, key)
		}
	}
}

func TestAbuse_T02_Colon(t *testing.T) {
	for _, name := range []string{"evil:ada", "a:b:c", ":ada:", "ada%3Ab", "ａ：ｂ"} {
		uri := issued(t, "Acme", name).URI.Reveal()
		require.Equal(t, 1, strings.Count(strings.TrimPrefix(uri, "otpauth:"), ":"))
		issuer, account, q := parts(t, uri)
		require.Equal(t, "Acme", issuer)
		require.Equal(t, "Acme", q.Get("issuer"))
		require.NotContains(t, account, ":")
	}
	cfg := newWorld(t).cfg
	for _, issuer := range []string{"Acme: Shop", "Acme:", ":", "", "Acme\n", " Acme", "Ac\u202eme", strings.Repeat("a", 65), "Acme\xff"} {
		cfg.Issuer = issuer
		_, err := twofa.New(cfg)
		require.ErrorContains(t, err, "Issuer", "%q", issuer)
	}
}

func TestAbuse_T03_NamesFromOutside(t *testing.T) {
	for name, want := range map[string]string{
		"žluťoučký kůň":                    "žluťoučký kůň",
		"👩‍🚀 ada":                          "👩‍🚀 ada",
		"ada\u202emoc.elpmaxe@":            "adamoc.elpmaxe@",
		"\u2066ada\u2069":                  "ada",
		"ada\r\nX: y":                      "adaX  y",
		"ada\x00\x1b[31m":                  "ada[31m",
		"ada\xff\xfe":                      "ada",
		strings.Repeat("a", 1000):          strings.Repeat("a", 64),
		strings.Repeat("é", 1000):          strings.Repeat("é", 32),
		"x" + strings.Repeat("😀", 1000):    "x" + strings.Repeat("😀", 15),
		"\n\u202e \t":                      "ada", // nothing is left, so the user ID is used
		"":                                 "ada",
		"https://evil.example/?a=b&c#frag": "https //evil.example/?a=b&c#frag",
	} {
		e := issued(t, "Acmé", name)
		_, account, _ := parts(t, e.URI.Reveal())
		require.Equal(t, want, account)
		require.True(t, utf8.ValidString(account))
		require.Equal(t, e.URI.Reveal(), scan(t, e))
	}
}

// scan decodes the PNG like a camera.
func scan(t testing.TB, e twofa.Enrollment) string {
	t.Helper()
	file, err := e.PNG(1)
	require.NoError(t, err)
	img, err := png.Decode(bytes.NewReader(file))
	require.NoError(t, err)
	return harness.DecodeQR(t, img)
}

func TestAbuse_T04_QRCodeContainsTheURI(t *testing.T) {
	for _, name := range []string{"ab", "john.doe@email.com", strings.Repeat("long", 16), strings.Repeat("😀", 16)} {
		e := issued(t, strings.Repeat("é", len(name)/2), name, func(c *twofa.Config) { c.TOTP.SecretSize = 16 + len(name)%48 })
		require.Equal(t, e.URI.Reveal(), scan(t, e))
	}
	file, err := issued(t, "Acme", "ada@example.com").PNG(0)
	require.NoError(t, err)
	require.Less(t, len(file), 1000)
	require.Equal(t, "IHDR", string(file[12:16]))
	require.Equal(t, []byte{1, 3}, file[24:26], "one bit per pixel, with a palette")
}

// The SVG shows the same modules as the PNG.
func TestAbuse_T06_SVGContainsNoText(t *testing.T) {
	e := issued(t, "<script>alert(1)</script>", `"/><script>alert(2)</script>&{{.}}`)
	svg, err := e.SVG()
	require.NoError(t, err)
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			require.Contains(t, []string{"svg", "path"}, token.Name.Local)
		case xml.EndElement:
		default:
			t.Fatalf("%T in the SVG", token)
		}
	}
	require.Equal(t, e.URI.Reveal(), harness.DecodeQR(t, draw(t, svg)))
}

// draw draws the runs of a path.
func draw(t testing.TB, svg string) image.Image {
	t.Helper()
	var size, x, y, run int
	_, err := fmt.Sscanf(svg[strings.Index(svg, "viewBox"):], `viewBox="0 0 %d`, &size)
	require.NoError(t, err)
	img := image.NewGray(image.Rect(0, 0, size, size))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for _, found := range regexp.MustCompile(`M\d+ \d+h\d+v1`).FindAllString(svg, -1) {
		_, err := fmt.Sscanf(found, "M%d %dh%dv1", &x, &y, &run)
		require.NoError(t, err)
		for i := range run {
			img.Pix[img.PixOffset(x+i, y)] = 0
		}
	}
	return img
}

// A user who is enrolled keeps the app's parameters even if the configuration
// changes later. Both kinds of codes work for the same user.
func TestAbuse_T08_KindOfCodesChanges(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	first := ada.uri
	ada.begin()
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	pending, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	require.NoError(t, err)

	w.cfg.TOTP = twofa.TOTPConfig{Algorithm: "SHA512", Digits: 8, Period: time.Minute}
	w.Manager = w.again()
	again, err := ada.PendingEnrollment(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Equal(t, pending.URI.Reveal(), again.URI.Reveal(), "the parameters that were shown stay valid")
	require.NoError(t, ada.another().verify(twofa.TOTP, ada.code()))

	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	require.NoError(t, err)
	require.Contains(t, e.URI.Reveal(), "algorithm=SHA512&digits=8&period=60")
	ada.uri = e.URI.Reveal()
	require.Len(t, ada.now(), 8)
	require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), ada.now())))
	for _, uri := range []string{ada.uri, first} {
		ada.uri = uri
		w.clock.Add(2 * time.Minute)
		require.NoError(t, ada.another().verify(twofa.TOTP, ada.now()))
	}
}

func TestAbuse_T08_OtherKindsOfCodes(t *testing.T) {
	for _, c := range []twofa.TOTPConfig{
		{Algorithm: "SHA256"}, {Algorithm: "SHA512"}, {Digits: 8}, {Digits: 7}, {Period: time.Minute},
		{Algorithm: "SHA512", Digits: 8, Period: 15 * time.Second, Strict: true, SecretSize: 64},
	} {
		w := newWorld(t, func(cfg *twofa.Config) { cfg.TOTP = c })
		ada := w.person("ada")
		ada.begin()
		e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
		require.NoError(t, err)
		require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
		require.Equal(t, twofa.NextEnroll, ada.login.Next, "an app that computes other codes is found here, not at the next login")
		ada.uri = e.URI.Reveal()
		require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), ada.now())))
		w.clock.Add(2 * time.Minute)
		require.NoError(t, ada.another().verify(twofa.TOTP, ada.now()))
	}
	for field, c := range map[string]twofa.TOTPConfig{
		"TOTP.Algorithm": {Algorithm: "MD5"}, "SHA1, SHA256": {Algorithm: "sha1"},
		"TOTP.Digits": {Digits: 5}, "6 to 8": {Digits: 9}, "is -6": {Digits: -6},
		"TOTP.Period": {Period: 10 * time.Second}, "15s to 2m": {Period: 3 * time.Minute}, "whole seconds": {Period: 30*time.Second + 1},
	} {
		cfg := newWorld(t).cfg
		cfg.TOTP = c
		_, err := twofa.New(cfg)
		require.ErrorContains(t, err, field)
	}
}
