package pseudo

import (
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/locale"
)

func TestAccents(t *testing.T) {
	c, english := Accents(), locale.English()
	require.Equal(t, "en-XA", c.Tag())
	require.False(t, c.RTL())
	args := locale.Args{"issuer": "Acme", "count": 2}
	require.Equal(t, "üšmöd Šígñ íñ tö Acme", c.Text("link.login.subject", args))
	require.Equal(t, "üšmöd íñ 2 míñütéš", c.Text("in.minutes", args))
	require.Contains(t, c.Text("page.settings.browsers.forget.named", locale.Args{"browser": "Firefox"}), c.Text("page.settings.browsers.forget", nil))
	for _, id := range []string{"notice.disabled.text", "notice.advice", "date.month.5", "link.valid", "text.replaced"} {
		was, is := english.Text(id, args), c.Text(id, args)
		require.GreaterOrEqual(t, 10*utf8.RuneCountInString(is), 13*utf8.RuneCountInString(was), is)
	}
}

func TestRightToLeft(t *testing.T) {
	c := RightToLeft()
	require.Equal(t, "ar-XB", c.Tag())
	require.True(t, c.RTL())
	require.Empty(t, c.Missing())
	text := c.Text("link.login.subject", locale.Args{"issuer": "Acme"})
	require.Contains(t, text, "Acme")
	for _, r := range c.Text("notice.disabled.text", nil) {
		require.True(t, unicode.Is(unicode.Hebrew, r) || !unicode.IsLetter(r), string(r))
	}
	for n := range 200 { // all plural forms of Arabic
		require.NotContains(t, c.Text("in.minutes", locale.Args{"count": n}), "{{")
	}
}
