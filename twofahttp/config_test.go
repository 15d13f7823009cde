package twofahttp_test

import (
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

func TestNew_ReportsAllThatIsWrong(t *testing.T) {
	_, err := twofahttp.New(twofahttp.Config{Prefix: "2fa", LoginURL: "//evil.com", HomeURL: "https://example.com/", AttemptsPerMinute: -1, SendsPerHour: -1,
		Actions: map[string]twofahttp.Action{"x": {Page: "//evil.com"}},
		Regions: []twofahttp.Region{{Code: "CH", Name: "Switzerland"}, {}, {Code: "ch", Name: "Switzerland"}, {Code: "FR"}}, TrustedProxies: make([]netip.Prefix, 1),
		Templates: fstest.MapFS{"challenge.html": {Data: []byte("{{")}}})
	for _, field := range []string{"Manager:", "Sessions:", "Issuer:", "Prefix:", "LoginURL:", "HomeURL:", "AttemptsPerMinute:", "SendsPerHour:",
		"Regions[1].Code:", "Regions[1].Name:", "Regions[2].Code:", "Regions[3].Name:", "TrustedProxies[0]:", `Actions["x"].Page:`, "Templates: challenge.html:"} {
		require.ErrorContains(t, err, field)
	}
	require.ErrorContains(t, err, "\nSendsPerHour: must be 1 or more, is -1\n", "the field, the rule and the value")
	require.NotContains(t, err.Error(), "Regions[0]")
}

func TestNew_TriesThePages(t *testing.T) {
	pages, err := filepath.Glob("pages/*")
	require.NoError(t, err)
	for _, file := range pages {
		name := filepath.Base(file)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		try := func(name, text string) error {
			_, err := twofahttp.New(twofahttp.Config{Templates: fstest.MapFS{name: {Data: []byte(text)}}})
			return err
		}
		require.NotContains(t, try(name, string(text)).Error(), "Templates", "our own is fine")
		require.ErrorContains(t, try("x"+name, string(text)), "Templates: x"+name+": must have the name of a page")
		if at := regexp.MustCompile(`{{\.[A-Z]`).FindIndex(text); at != nil {
			require.ErrorContains(t, try(name, string(text[:at[0]])+"{{.Nope"+string(text[at[0]+2:])), "Nope", name)
		}
	}
}

// Whatever a page has words for is tried.
func TestNew_TriesEveryWord(t *testing.T) {
	for file, codes := range map[string][]string{"pages/alert.html": twofahttp.AlertCodes, "pages/message.html": twofahttp.ProblemCodes} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, list := range regexp.MustCompile(`eq (?:\.Code|\$c)((?: "[a-z_]+")+)`).FindAllStringSubmatch(string(text), -1) {
			for _, code := range strings.Fields(list[1]) {
				require.Contains(t, codes, strings.Trim(code, `"`), file)
			}
		}
	}
}

// What a page is given is written down for who replaces it.
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

func TestConfig_PagesAndStylesheetAreReplaced(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.Templates = fstest.MapFS{"layout.html": {Data: []byte(`{{define "layout"}}<html lang="de"><h1>Eigenes</h1>{{template "content" .}}{{end}}`)}}
		c.Stylesheet = []byte("body{}")
		c.Prefix = "/2fa/"
	})
	b, _, _ := h.pending("ada")
	require.Contains(t, b.get("/2fa/challenge").Body, `<html lang="de"><h1>Eigenes</h1>`)
	require.Equal(t, "body{}", b.get("/2fa/style.css").Body)
}

func TestLinkURL(t *testing.T) {
	for _, base := range []string{"https://app.example.com/2fa/", "https://app.example.com/2fa"} {
		require.Equal(t, "https://app.example.com/2fa/link?token=a%26b", twofahttp.LinkURL(base)(twofa.LinkRequest{Token: twofa.NewSecret("a&b")}))
	}
}

func TestClient_AddressBehindProxies(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	})
	for _, c := range []struct {
		name, remote, want string
		forwarded          []string
	}{
		{"no proxy", "203.0.113.7:1000", "203.0.113.7", nil},
		{"a stranger's header", "203.0.113.7:1000", "203.0.113.7", []string{"198.51.100.1"}},
		{"a trusted proxy", "10.0.0.1:1000", "198.51.100.1", []string{"198.51.100.1"}},
		{"what the client made up before it", "10.0.0.1:1000", "198.51.100.1", []string{"1.1.1.1, 198.51.100.1"}},
		{"several headers", "10.0.0.1:1000", "198.51.100.1", []string{"1.1.1.1", "198.51.100.1"}},
		{"two proxies", "10.0.0.1:1000", "198.51.100.1", []string{"198.51.100.1, 10.0.0.9"}},
		{"rubbish", "10.0.0.1:1000", "10.0.0.9", []string{"198.51.100.1, rubbish, 10.0.0.9"}},
		{"only proxies", "10.0.0.1:1000", "10.0.0.8", []string{"10.0.0.8, 10.0.0.9"}},
		{"IPv6 with a zone", "[fe80::1%eth0]:1000", "fe80::1", nil},
		{"IPv4 in IPv6", "[::ffff:203.0.113.7]:1000", "203.0.113.7", nil},
		{"no address", "@", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			r.RemoteAddr = c.remote
			r.Header["X-Forwarded-For"] = c.forwarded
			require.Equal(t, c.want, h.web.Client(r).IP)
		})
	}
}

func TestLimits_CountOneNetworkOnce(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := twofahttp.NewLimiter(30, time.Minute)
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1")
	for range 15 {
		require.Zero(t, l.Take(a, now))
		require.Zero(t, l.Take(b, now))
	}
	require.Equal(t, 2*time.Second, l.Take(a, now))
	require.Zero(t, l.Take(netip.MustParseAddr("2001:db8:0:1::1"), now), "a neighbour is not concerned")
	require.Positive(t, l.Take(b, now.Add(-time.Hour)), "a clock set back gives nothing")
	require.Zero(t, l.Take(b, now.Add(2*time.Second)))
	l.GiveBack(a)
	require.Zero(t, l.Take(a, now.Add(2*time.Second)))
	require.Positive(t, l.Take(a, now.Add(2*time.Second)))
}

func TestLimits_MemoryIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := twofahttp.NewLimiter(30, time.Minute)
	for i := range 50_000 {
		l.Take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	require.LessOrEqual(t, l.Len(), 20_000)
}

func TestCaller_AccountOfTheRequest(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.login("ada", "account", "beta")
	require.Equal(t, "beta", h.web.Caller(mustRequest(b)).Account, "by default the one entered at login")
	require.True(t, h.web.Caller(b.request("GET", "/", "")).Session.IsZero())
}
