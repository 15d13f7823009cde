package text

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/ja"
)

func TestSegments(t *testing.T) {
	for s, want := range map[string]int{
		"": 1, strings.Repeat("é", 160): 1, strings.Repeat("a", 161): 2, strings.Repeat("a", 306): 2, strings.Repeat("a", 307): 3,
		strings.Repeat("€", 80): 1, strings.Repeat("€", 81): 2,
		strings.Repeat("ç", 70): 1, strings.Repeat("ç", 71): 2, strings.Repeat("ç", 134): 2, strings.Repeat("ç", 135): 3,
		strings.Repeat("a", 70) + "’": 2, strings.Repeat("😀", 35): 1, strings.Repeat("😀", 36): 2,
	} {
		require.Equal(t, want, Segments(s), "%.20s of %d bytes", s, len(s))
	}
}

// Everything that Device returns can be said in another language.
func TestDeviceIn(t *testing.T) {
	require.Equal(t, "Firefox unter Linux", DeviceIn(de.Catalog(), "Firefox on Linux"))
	require.Equal(t, "LinuxのFirefox", DeviceIn(ja.Catalog(), "Firefox on Linux"))
	require.Equal(t, "Unbekannter Browser unter einem unbekannten System", DeviceIn(de.Catalog(), Device("")))
	require.Equal(t, "", DeviceIn(de.Catalog(), ""))
	for _, agent := range []string{"", "Mobile/15E148", "GSA/1 iPhone", "; wv) Android", "Firefox/1 Linux"} {
		require.Equal(t, Device(agent), DeviceIn(locale.English(), Device(agent)))
		require.NotRegexp(t, ` on |\ban?\b|the |unknown`, DeviceIn(de.Catalog(), Device(agent)))
	}
}
