// Package text cleans, checks and masks text that comes from users, clients and
// the host.
package text

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean returns s as one line of at most n bytes, without invalid UTF-8,
// control characters, characters that change the direction of writing, and
// space around it. An attacker could otherwise forge a line of a log, or make a
// name look like another.
func Clean(s string, n int) string {
	if len(s) <= n && plain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimSpace(s[:n])
}

// plain reports whether s is printable ASCII without space around it. This is
// the usual case, and needs no allocation.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[len(s)-1] != ' '
}

// ValidateID returns an error if id cannot be part of a record's key. The error
// names what the id belongs to.
func ValidateID(what, id string) error {
	if id == "" || len(id) > 255 || Clean(id, 255) != id {
		return fmt.Errorf("twofa: %s ID: must be 1 to 255 bytes of UTF-8 without control characters or space around it, is %.64q", what, id)
	}
	return nil
}

// MaskPhone masks all digits of a number except the last two, so that users can
// recognize their own.
func MaskPhone(e164 string) string {
	if len(e164) < 5 {
		return "••"
	}
	return "•••• " + e164[len(e164)-2:]
}

// MaskEmail masks an address between its first character and the "@", so that
// users can recognize their own.
func MaskEmail(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return "•••"
	}
	_, size := utf8.DecodeRuneInString(address)
	return address[:size] + "•••" + address[at:]
}

// Groups inserts a space after every fourth character.
func Groups(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Device guesses the browser and system from a User-Agent. The result contains
// only words from this function, because an attacker chooses the User-Agent and
// the result is part of messages to the user.
func Device(agent string) string {
	browser := firstOf(agent, browsers)
	if browser == "" {
		browser = "Unknown browser"
		if strings.Contains(agent, "Mobile/") { // the view of an app on iOS, which names no browser
			browser = "App"
		}
	}
	system := firstOf(agent, systems)
	if system == "" {
		system = "an unknown system"
	}
	return browser + " on " + system
}

// firstOf returns the name of the first pair whose first part is in agent.
func firstOf(agent string, pairs [][2]string) string {
	for _, p := range pairs {
		if strings.Contains(agent, p[0]) {
			return p[1]
		}
	}
	return ""
}

// browsers are words of User-Agents and names of browsers. The order matters,
// because most browsers also name Chrome or Safari, and on iOS all of them use
// Safari's engine.
var browsers = [][2]string{
	// apps that open links in a view of their own
	{"FBAN/", "Facebook"}, {"FBAV/", "Facebook"}, {"FB_IAB/", "Facebook"}, {"Instagram", "Instagram"}, {"LinkedInApp", "LinkedIn"},
	{"MicroMessenger/", "WeChat"}, {" Line/", "LINE"}, {"Twitter for ", "X"}, {"TwitterAndroid", "X"}, {"Snapchat", "Snapchat"},
	{"musical_ly", "TikTok"}, {"BytedanceWebview", "TikTok"}, {"Pinterest", "Pinterest"}, {"Slack", "Slack"}, {"Teams/", "Teams"},
	{"GSA/", "Google app"}, {"; wv)", "App"},
	// browsers, with the names of their versions for iOS
	{"Edg", "Edge"}, {"OPR/", "Opera"}, {"OPiOS/", "Opera"}, {"OPT/", "Opera"}, {"OPX/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
	{"YaBrowser/", "Yandex Browser"}, {"Vivaldi/", "Vivaldi"}, {"UCBrowser/", "UC Browser"}, {"Brave/", "Brave"},
	{"DuckDuckGo/", "DuckDuckGo"}, {"Ddg/", "DuckDuckGo"}, {"FxiOS/", "Firefox"}, {"Focus/", "Firefox"}, {"Klar/", "Firefox"}, {"Firefox", "Firefox"},
	{"CriOS/", "Chrome"}, {"HeadlessChrome", "Chrome"}, {"Chrome", "Chrome"}, {"Safari", "Safari"},
}

var systems = [][2]string{
	{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"iPod", "iPod"}, {"Windows", "Windows"},
	{"Mac OS", "macOS"}, {"Macintosh", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
}

// countries are the codes of ISO 3166-1 alpha-2, and AC (Ascension Island), TA
// (Tristan da Cunha) and XK (Kosovo), which have numbering plans of their own. A
// mistyped code in a configuration would otherwise never match and be noticed
// late.
const countries = "AC AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ " +
	"BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM " +
	"DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS " +
	"GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN " +
	"KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ " +
	"MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM " +
	"PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV " +
	"SX SY SZ TA TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI " +
	"VN VU WF WS XK YE YT ZA ZM ZW"

// ValidateCountry returns an error if code is not the code of a country or of a
// region with a numbering plan, in upper case.
func ValidateCountry(code string) error {
	switch {
	case code == "UK":
		return errors.New("the United Kingdom is GB")
	case len(code) != 2 || !slices.Contains(strings.Fields(countries), code):
		return errors.New("must be an ISO 3166-1 alpha-2 code in upper case, or AC, TA or XK")
	}
	return nil
}

// IsE164 reports whether s is a number in E.164: a "+" and 7 to 15 digits, of
// which the first is not zero.
func IsE164(s string) bool {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	_, ok := Digits(s[1:], len(s)-1)
	return ok
}

// Digits returns a typed code without ASCII spaces and hyphens, with which apps
// group codes, and reports whether the rest is exactly n ASCII digits.
func Digits(code string, n int) (string, bool) {
	if len(code) > 4*n {
		return "", false
	}
	if len(code) != n {
		code = separators.Replace(code)
	}
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return "", false
		}
	}
	return code, len(code) == n
}

var separators = strings.NewReplacer(" ", "", "-", "")

// PrintableJSON returns JSON in which nothing can control a terminal. Package json
// escapes the control characters of ASCII, except the last one.
func PrintableJSON(data []byte) []byte {
	if !slices.ContainsFunc(data, func(b byte) bool { return b >= 0x7f }) {
		return data
	}
	safe := make([]byte, 0, len(data)+64)
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r >= 0x7f && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError || r == '\u2028' || r == '\u2029') {
			safe = fmt.Appendf(safe, `\u%04x`, r)
		} else {
			safe = append(safe, data[:size]...)
		}
		data = data[size:]
	}
	return safe
}
