package text

import (
	"strings"
	"unicode/utf16"

	"github.com/twofa-go/twofa/locale"
)

// deviceWords are the IDs of the words that Device returns in place of a name.
var deviceWords = map[string]string{"Unknown browser": "device.browser", "App": "device.app", "Google app": "device.google", "an unknown system": "device.system"}

// DeviceIn returns a result of Device in a language.
func DeviceIn(c *locale.Catalog, device string) string {
	browser, system, ok := strings.Cut(device, " on ")
	if !ok {
		return device
	}
	word := func(s string) string {
		if id := deviceWords[s]; id != "" {
			return c.Text(id, nil)
		}
		return s
	}
	return c.Text("device", locale.Args{"browser": word(browser), "system": word(system)})
}

// gsm7 and gsm7Extension are the alphabet of text messages (3GPP TS 23.038).
// Those of the extension count twice.
const (
	gsm7 = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§" +
		"¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsm7Extension = "^{}\\[~]|€"
)

// Segments returns the number of segments of a text message. A text outside the
// alphabet GSM-7 is sent as UTF-16, with 70 characters in a segment instead of
// 160.
func Segments(s string) int {
	if n := gsm7Length(s); n >= 0 {
		return segments(n, 160, 153)
	}
	return segments(len(utf16.Encode([]rune(s))), 70, 67)
}

// IsGSM7 reports whether a text message consists of the alphabet GSM-7.
func IsGSM7(s string) bool { return gsm7Length(s) >= 0 }

// gsm7Length returns the length in GSM-7, or -1 if a character is not in it.
func gsm7Length(s string) (n int) {
	for _, r := range s {
		switch {
		case strings.ContainsRune(gsm7, r):
			n++
		case strings.ContainsRune(gsm7Extension, r):
			n += 2
		default:
			return -1
		}
	}
	return n
}

// segments divides a length. Each segment of several has room for fewer
// characters, because it also has a number.
func segments(n, alone, each int) int {
	if n <= alone {
		return 1
	}
	return (n + each - 1) / each
}
