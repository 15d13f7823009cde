package twofahttp_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/twofahttp"
)

var unsafeRedirects = []string{"", "//evil.com", "/\\evil.com", "\\\\evil.com", "https:evil.com", "https://evil.com", "http://evil.com", "/%09/evil.com",
	"javascript:alert(1)", "/ok\r\nSet-Cookie:x", "/\t/evil.com", " /ok", "/ ok", "evil.com", "///evil.com", "/%2fevil.com", "/%2Fevil.com",
	"/%5cevil.com", "/%255cevil.com", "/..//evil.com", "/a/..%2f..//evil.com", "/./evil", "/a//b", "/%00", "/%0d%0aSet-Cookie:x", "/é",
	"/\u2028", "/%zz", "/" + strings.Repeat("a", 2800), "data:text/html,x", "/%252f%252fevil.com"}

func TestSafeRedirect(t *testing.T) {
	for _, next := range unsafeRedirects {
		require.Equal(t, "/home", twofahttp.SafeRedirect(next, "/home"), "%q", next)
	}
	for _, next := range []string{"/", "/contacts", "/contacts?q=1&x=https://example.com/", "/a/b/c.html#top", "/caf%C3%A9", "/~ada/@x:1"} {
		require.Equal(t, next, twofahttp.SafeRedirect(next, "/home"))
	}
}

// FuzzSafeRedirect checks that browsers stay on the same host for any input.
func FuzzSafeRedirect(f *testing.F) {
	for _, next := range unsafeRedirects {
		f.Add(next)
	}
	f.Add("/contacts?q=1#x")
	base, _ := url.Parse("https://app.example.com/2fa/verify")
	f.Fuzz(func(t *testing.T, next string) {
		got := twofahttp.SafeRedirect(next, "/home")
		u, err := url.Parse(got)
		require.NoError(t, err)
		to := base.ResolveReference(u)
		require.Equal(t, "app.example.com", to.Host)
		require.Equal(t, "https", to.Scheme)
		require.True(t, strings.HasPrefix(got, "/"))
		// Browsers change an address like this before they parse it.
		browser := strings.NewReplacer("\\", "/", "\t", "", "\r", "", "\n", "").Replace(got)
		require.False(t, strings.HasPrefix(browser, "//"), "%q", got)
		require.NotContains(t, to.EscapedPath(), "//")
	})
}

// FuzzParseForm checks that an accepted form has one value for each field and
// that another parser reads the same values.
func FuzzParseForm(f *testing.F) {
	for _, body := range []string{"", "code=1", "code=1&code=2", "code=%zz", "a;b", "code=%00", strings.Repeat("a=1&", 30), "code=1&Code=2"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		form, err := twofahttp.ParseForm(body)
		if err != nil {
			require.Nil(t, form)
			return
		}
		require.LessOrEqual(t, len(form), 20)
		for _, values := range form {
			require.Len(t, values, 1)
		}
		again, err := url.ParseQuery(form.Encode())
		require.NoError(t, err)
		require.Equal(t, form, again)
	})
}
