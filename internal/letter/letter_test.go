package letter_test

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/internal/letter"
	"github.com/twofa-go/twofa/internal/pseudo"
	"github.com/twofa-go/twofa/locale"
)

func example() letter.Letter {
	return letter.Letter{Issuer: "Acme & Sons", Color: "#123456", Logo: "https://app.example.com/logo.png?a=1&b=2", Support: "mailto:help@example.com",
		Subject: "Sign in to Acme <1>", Lead: []string{"Lead & more."}, Link: "https://app.example.com/2fa/link?token=t&x=1", Label: "Sign in", Typed: "Or type it <here>:", Code: "012345", Below: []string{"It works once."},
		Details: []string{"Time: now", "Device: <b>"}, Advice: "If it wasn't you, don't open it."}
}

var tags = regexp.MustCompile(`<style>.*?</style>|<title>.*?</title>|<[^>]*>`)

func TestLetter_TextAndHTMLSayTheSame(t *testing.T) {
	for _, c := range []*locale.Catalog{locale.English(), pseudo.Accents(), pseudo.RightToLeft()} {
		l := example()
		words := html.UnescapeString(tags.ReplaceAllString(l.HTML(c), "\n"))
		for paragraph := range strings.SplitSeq(l.Text(c), "\n\n") {
			paragraph, _, _ = strings.Cut(strings.TrimSpace(paragraph), ": help@") // the address is in the link
			require.Contains(t, words, paragraph+"\n", c.Tag())
			words = strings.Replace(words, paragraph+"\n", "", 1)
		}
		require.Equal(t, []string{l.Subject, l.Label}, strings.FieldsFunc(words, func(r rune) bool { return r == '\n' }), "nothing else is in the HTML")
	}
}

func TestLetter_HTML(t *testing.T) {
	page := example().HTML(locale.English())
	require.Contains(t, page, `<html lang="en" dir="ltr">`)
	require.Contains(t, page, `<meta name="color-scheme" content="light dark">`)
	require.Contains(t, page, `<title>Sign in to Acme &lt;1&gt;</title>`)
	require.Contains(t, page, `<img src="https://app.example.com/logo.png?a=1&amp;b=2" alt="Acme &amp; Sons" `)
	require.Contains(t, page, `<a href="https://app.example.com/2fa/link?token=t&amp;x=1" style="display:inline-block;padding:12px 24px;background:#123456;border-radius:8px;color:#fff;`)
	require.Contains(t, page, `href="mailto:help@example.com"`)
	require.Contains(t, page, `Time: now<br>Device: &lt;b&gt;`)
	require.Equal(t, 2, strings.Count(page, "<a "), "one button, and the link to support")
	require.NotRegexp(t, `<table|<script|<b>`, page)
	require.Contains(t, example().HTML(pseudo.RightToLeft()), `<html lang="ar-XB" dir="rtl">`)

	plain := letter.Letter{Issuer: "Acme", Subject: "x", Advice: "y"}
	page = plain.HTML(locale.English())
	require.NotRegexp(t, `<a |<img|class="f"|translate="no"`, page)
	require.Contains(t, page, `font-weight:600">Acme</p>`)
	plain.Link = "https://app.example.com"
	require.Contains(t, plain.HTML(locale.English()), "background:#2c4fc9;border-radius:8px;color:#fff;")
}

func TestLetter_TextOfTheButtonIsReadable(t *testing.T) {
	for color, text := range map[string]string{"#000000": "#fff", "#2c4fc9": "#fff", "#767676": "#fff", "#777777": "#000", "#ffcc00": "#000", "#00ff00": "#000", "#FFFFFF": "#000"} {
		l := example()
		l.Color = color
		require.Contains(t, l.HTML(locale.English()), "background:"+color+";border-radius:8px;color:"+text+";")
	}
}

func TestIsColor(t *testing.T) {
	require.True(t, letter.IsColor("#09afAF"))
	for _, s := range []string{"", "#", "#fff", "#1234567", "123456", "red", "#12345g", "#+12345", "#-12345", "#12_456", "##12345", "#12345;", "#123456;color:red"} {
		require.False(t, letter.IsColor(s), s)
	}
}
