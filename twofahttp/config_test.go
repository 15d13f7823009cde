package twofahttp_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

func TestNew_ReportsEveryInvalidField(t *testing.T) {
	_, err := twofahttp.New(twofahttp.Config{Prefix: "2fa", LoginURL: "//evil.com", Logo: "http://example.com/logo.svg", SupportURL: "javascript:alert(1)", HomeURL: "https://example.com/", AttemptsPerMinute: -1, SendsPerHour: -1,
		Actions: map[string]twofahttp.Action{"x": {Page: "//evil.com"}},
		Regions: []twofahttp.Region{{Code: "CH", Name: "Switzerland"}, {}, {Code: "ch", Name: "Switzerland"}, {Code: "FR"}}, TrustedProxies: make([]netip.Prefix, 1),
		Templates: fstest.MapFS{"challenge.html": {Data: []byte("{{")}}})
	for _, field := range []string{"Manager:", "Sessions:", "Issuer:", "Prefix:", "LoginURL:", "Logo:", "SupportURL:", "HomeURL:", "AttemptsPerMinute:", "SendsPerHour:",
		"Regions[1].Code:", "Regions[1].Name:", "Regions[2].Code:", "Regions[3].Name:", "TrustedProxies[0]:", `Actions["x"].Page:`, "Templates: challenge.html:"} {
		require.ErrorContains(t, err, field)
	}
	require.ErrorContains(t, err, "\nSendsPerHour: must be 1 or more, is -1\n", "names the field, the rule and the value")
	require.NotContains(t, err.Error(), "Regions[0]")
}

func TestNew_RendersTemplates(t *testing.T) {
	try := func(files fs.FS) error {
		_, err := twofahttp.New(twofahttp.Config{Templates: files})
		return err
	}
	require.NotContains(t, try(os.DirFS("pages")).Error(), "Templates", "the built-in files are accepted")
	pages, err := filepath.Glob("pages/*")
	require.NoError(t, err)
	for _, file := range pages {
		name := filepath.Base(file)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		try := func(name, text string) error { return try(fstest.MapFS{name: {Data: []byte(text)}}) }
		require.ErrorContains(t, try("x"+name, string(text)), "Templates: x"+name+": must have the name of a page")
		if at := regexp.MustCompile(`{{\.[A-Z]`).FindIndex(text); at != nil {
			require.ErrorContains(t, try(name, string(text[:at[0]])+"{{.Nope"+string(text[at[0]+2:])), "Nope", name)
		}
	}
}

// docs/pages.md lists every field that a page is given.
func TestPages_AreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/pages.md")
	require.NoError(t, err)
	sections := map[string]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		sections[name] = body
	}
	for name, fields := range twofahttp.PageFields() {
		for _, field := range fields {
			require.Contains(t, sections[name], "`"+field+"`", name)
		}
	}
	files, err := filepath.Glob("pages/*")
	require.NoError(t, err)
	for _, file := range files {
		require.Contains(t, string(text), filepath.Base(file))
	}
}

func TestConfig_ReplacesPagesAndStylesheet(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.Templates = fstest.MapFS{"layout.html": {Data: []byte(`{{define "layout"}}<html lang="de"><h1>Eigenes</h1>{{template "content" .}}{{end}}`)}}
		c.Stylesheet = []byte("body{}")
		c.Prefix = "/2fa/"
	})
	b, _, _ := h.pending("ada")
	require.Contains(t, b.get("/2fa/challenge").Body, `<html lang="de"><h1>Eigenes</h1>`)
	require.Equal(t, "body{}", b.get("/2fa/style.css").Body)
}

func TestConfig_Brand(t *testing.T) {
	const csp = "Content-Security-Policy"
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.Logo, c.SupportURL = "https://cdn.example.com/logo.svg", "mailto:help@example.com"
	})
	b, _, _ := h.pending("ada")
	page := b.get("/2fa/challenge")
	require.Contains(t, page.Body, `<img src="https://cdn.example.com/logo.svg"`)
	require.Contains(t, page.Body, `<footer class="foot"><a href="mailto:help@example.com">`)
	require.Contains(t, page.Header.Get(csp), "img-src 'self' data: https://cdn.example.com;")

	h = newHost(t, twofa.PolicyOptional())
	b, _, _ = h.pending("ada")
	page = b.get("/2fa/challenge")
	require.NotContains(t, page.Body, "<img")
	require.NotContains(t, page.Body, "<footer")
	require.Contains(t, page.Header.Get(csp), "img-src 'self' data:;")
}

func TestConfig_BrandAddresses(t *testing.T) {
	for address, logo := range map[string]bool{"/logo.svg": true, "https://cdn.example.com/a.png": true, "http://cdn.example.com/a.png": false, "//cdn.example.com/a.png": false,
		"https://cdn.example.com; script-src *": false, "https://*.example.com/a.png": false, "https://u:p@example.com/a.png": true, "https:///a.png": false, "data:image/png,": false, "mailto:a@example.com": false} {
		_, err := twofahttp.New(twofahttp.Config{Logo: address, SupportURL: address})
		require.Equal(t, !logo, strings.Contains(err.Error(), "\nLogo: "), address)
		require.Equal(t, !logo && address != "mailto:a@example.com", strings.Contains(err.Error(), "\nSupportURL: "), address)
	}
	for _, address := range []string{"mailto:", "mailto:help", "tel:123", "javascript:alert(1)"} {
		_, err := twofahttp.New(twofahttp.Config{SupportURL: address})
		require.ErrorContains(t, err, "\nSupportURL: ", address)
	}
}

func TestConfig_HeaderAndFooterOfTheHost(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.SupportURL = "/help"
		c.Templates = fstest.MapFS{"header.html": {Data: []byte(`<header><a href="{{.Home}}">Our {{.Issuer}}</a></header>`)},
			"footer.html": {Data: []byte(`<footer><a href="{{.Support}}">Our help</a></footer>`)}}
	})
	b, _, _ := h.pending("ada")
	page := b.get("/2fa/challenge").Body
	require.Contains(t, page, `<header><a href="/">Our Acme</a></header>`)
	require.Contains(t, page, `<footer><a href="/help">Our help</a></footer>`)
	require.NotContains(t, page, `class="bar"`)
	require.NotContains(t, page, `class="foot"`)
}

// A header of the host shows data of the request. Its switch of the language
// leads back to the page, and after a form that failed, to that of the form.
func TestConfig_LayoutData(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.Templates = fstest.MapFS{"layout.html": {Data: []byte(`{{define "layout"}}<p>{{with .Layout}}{{.}}{{end}} {{.URL}}</p>{{template "content" .}}{{end}}`)}}
		c.LayoutData = func(r *http.Request) any { return "<" + r.Method + ">" }
	})
	b, _, _ := h.pending("ada")
	require.Contains(t, b.get("/2fa/challenge?next=%2Freport").Body, "<p>&lt;GET&gt; /2fa/challenge?next=%2Freport</p>")
	require.Contains(t, b.post("/2fa/verify", "method", "totp", "code", "1").Body, "<p>&lt;POST&gt; /2fa/challenge</p>")
}

func TestLinkURL(t *testing.T) {
	for _, base := range []string{"https://app.example.com/2fa/", "https://app.example.com/2fa"} {
		require.Equal(t, "https://app.example.com/2fa/link?token=a%26b", twofahttp.LinkURL(base)(twofa.LinkRequest{Token: twofa.NewSecret("a&b")}))
	}
}

func TestCaller_Account(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.login("ada", "account", "beta")
	require.Equal(t, "beta", h.web.Caller(mustRequest(b)).Account, "it defaults to the account of the login")
	require.True(t, h.web.Caller(b.request("GET", "/", "")).Session.IsZero())
}

func TestConfig_LoggerDefaultsToTheDefaultLogger(t *testing.T) {
	var logs bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logs, nil)))
	defer slog.SetDefault(before)
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, w *twofahttp.Config) { w.Logger = nil })
	h.store.broken(errors.New("down"), false)
	h.browser().login("ada")
	require.Contains(t, logs.String(), "unavailable")
}
