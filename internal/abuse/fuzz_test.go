package abuse

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// Of all inputs, only the code is right, in one of the documented spellings and
// only once.
func FuzzVerifyTypedCode(f *testing.F) {
	for _, code := range []string{"", "0", "000000", "%s", "%s ", "%s\x00", "+%s", "%s%s", "%.3s %s", "－%s", "%s\n"} {
		f.Add(code, true)
		f.Add(code, false)
	}
	f.Fuzz(func(t *testing.T, typed string, app bool) {
		w := newWorld(t)
		ada := w.enrolled("ada")
		method, right := twofa.RecoveryCode, ada.codes[0]
		if app {
			method, right = twofa.TOTP, ada.code()
		}
		typed = strings.ReplaceAll(typed, "%s", right)
		canonical := strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(typed))
		is := canonical == strings.ReplaceAll(right, "-", "") && !strings.ContainsFunc(typed, func(r rune) bool { return r > unicode.MaxASCII })
		ada.begin()
		err := ada.verify(method, typed)
		if !is || len(typed) > 96 || app && len(typed) > 24 {
			require.ErrorIs(t, err, twofa.ErrInvalidCode)
			require.NotEqual(t, twofa.NextDone, ada.login.Next)
			return
		}
		require.NoError(t, err)
		ada.begin()
		require.ErrorIs(t, ada.verify(method, typed), twofa.ErrInvalidCode, "once")
	})
}

// What a client sends about itself and how users name their phones becomes one
// harmless line in events and messages.
func FuzzTextFromOutside(f *testing.F) {
	f.Add("Mozilla/5.0", "Work", "192.0.2.7")
	f.Add("\x1b[31m\r\nSet-Cookie: a", "a\nBcc: eve@example.com", "1.2.3.4\x00")
	f.Add("\u202e", strings.Repeat("é", 400), "\xff")
	f.Fuzz(func(t *testing.T, agent, name, ip string) {
		w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
		ada := w.person("ada")
		ada.client.UserAgent, ada.client.IP = agent, ip
		ada.begin()
		e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Name: name})
		require.NoError(t, err)
		ada.uri = e.URI.Reveal()
		require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
		require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), ada.now())))
		w.clock.Add(time.Minute)
		factors, err := ada.Factors(t.Context(), ada.caller())
		require.NoError(t, err)
		lines := []string{factors.List[0].Name}
		for _, e := range w.events {
			lines = append(lines, e.IP, e.Agent, e.Detail)
		}
		for _, m := range w.out.Mails() {
			lines = append(lines, m.To, m.Subject)
		}
		for _, line := range lines {
			require.False(t, strings.ContainsFunc(line, unicode.IsControl), "%q", line)
			require.LessOrEqual(t, len(line), 200)
		}
	})
}
