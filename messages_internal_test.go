package twofa

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/pseudo"
	"github.com/twofa-go/twofa/internal/text"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/es"
	"github.com/twofa-go/twofa/locale/fr"
	"github.com/twofa-go/twofa/locale/ja"
	"github.com/twofa-go/twofa/locale/ptbr"
)

// languages are all languages that exist, and two that are made from English.
func languages() []*locale.Catalog {
	return []*locale.Catalog{locale.English(), de.Catalog(), fr.Catalog(), es.Catalog(), ptbr.Catalog(), ja.Catalog(), pseudo.Accents(), pseudo.RightToLeft()}
}

// noticeTypes are the types of events that are mailed.
var noticeTypes = []string{event.Login, event.Failed, event.Reused, event.Locked, event.Disabled, event.Enrolled, event.Imported, event.Replaced, event.Removed,
	event.TurnedOff, event.CodesGenerated, event.CodesViewed, event.RecoveryUsed, event.BrowserReplay, event.Reset, event.Extended, event.Policy, event.Revoked, event.Credentials, event.Unlocked, event.Lost, event.LostCleared, event.ResetRequested, event.ResetApproved, event.ResetConfirmed, event.ResetCanceled, event.Reminded, event.Summarized}

// everyMail calls f with each mail that can be written in a language.
func everyMail(c *locale.Catalog, f func(name string, mail Email)) {
	at, brand := time.Unix(1_800_000_000, 0).UTC(), Brand{SupportURL: "https://app.example.com/help"}
	for _, kind := range noticeTypes {
		for _, method := range []Method{"", TOTP, SMS, EmailLink, emailTyped, RecoveryCode, "passkey"} {
			for _, left := range []int{0, 1, 2, 9} {
				for _, agent := range []string{"", "Firefox on Linux", "Unknown browser on an unknown system", "App on iPhone", "Google app on iPad"} {
					e := Event{Type: kind, Method: method, Left: left, Detail: agent, Time: at, IP: "192.0.2.7"}
					switch kind {
					case event.Extended, event.Policy:
						e.Act, e.After = "act", timeJSON(1_800_000_000)
					case event.Reminded:
						e.After = timeJSON(1_800_000_000)
					case event.Summarized:
						e.After, _ = json.Marshal(Summary{Ready: left, Exempt: left, Pending: left, Overdue: left / 2, NextDue: at})
					}
					f(fmt.Sprint(kind, method, left, agent), writeNotice(NoticeEmail{Issuer: "Acme", Event: e, Device: text.DeviceIn(c, agent), Locale: c, Brand: brand}))
				}
			}
		}
	}
	reset := NoticeEmail{Issuer: "Acme", User: User{ID: "olga"}, About: User{ID: "mia", Name: "mia@example.com"}, Admin: User{ID: "adam", Name: "adam@example.com"},
		Event: Event{Type: event.Reset, User: "mia", Time: at}, Locale: c, Brand: brand}
	for kind := range tellsAdmins {
		reset.Event.Type = kind
		f(kind+" of a member", writeNotice(reset))
		own := reset
		own.User, own.Admin, own.CancelURL = own.About, User{}, NewSecret("https://app.example.com/2fa/case?token=t")
		f(kind+" with a link", writeNotice(own))
	}
	changed := NoticeEmail{Issuer: "Acme", Admin: reset.Admin, Event: Event{Type: event.Policy, Time: at, After: json.RawMessage("null")}, Locale: c, Brand: brand}
	for i, change := range weakerChanges(at) {
		changed.Change = change
		f(fmt.Sprint("weaker policy ", i), writeNotice(changed))
	}
	for _, action := range []string{"", "contacts.export", ActionFactors, "!"} {
		for _, valid := range []time.Duration{time.Minute, 10 * time.Minute} {
			l := LinkEmail{Issuer: "Acme", Action: action, URL: NewSecret("https://app.example.com/2fa/link?token=t"), Time: at, Valid: valid, IP: "::1", Device: "Firefox on Linux", Locale: c, Brand: brand}
			f("link for "+action, writeLink(l))
			l.Code = NewSecret("012345")
			f("link and code for "+action, writeLink(l))
		}
	}
}

// weakerChanges are changes that are weaker in every way.
func weakerChanges(at time.Time) []PolicyChange {
	rules := func(age time.Duration, methods ...Method) map[string]ActionRule {
		return map[string]ActionRule{"contacts.export": {MaxAge: age, Methods: methods}}
	}
	strict := Policy{Methods: []Method{TOTP, SMS, EmailLink}, Required: true, TurnOff: TurnOffBySupport, Reset: RoleSupport, Actions: rules(0, TOTP)}
	return []PolicyChange{
		{strict, Policy{Methods: []Method{TOTP, EmailLink}, Fallback: []Method{EmailLink}, Required: true, EnrollWithoutLink: true, ExemptSSO: true, Remember: 30 * day, Weaken: RoleAdmin, Actions: rules(time.Minute, SMS, EmailLink)}},
		{strict, Policy{Required: true, Deadline: at, Grace: 36 * time.Hour}},
		{Policy{Required: true, Deadline: at, Grace: day}, Policy{Required: true, Deadline: at.Add(day), Grace: 14 * day}},
		{Policy{Methods: []Method{TOTP, EmailLink}, Required: true, Deadline: at}, Policy{Required: true, Deadline: at}},
		{PolicyAuthenticator(), PolicyOptional()},
		{PolicyAuthenticator(), PolicySMS()},
		{Policy{Required: true, ExemptSSO: true, Grace: day}, Policy{Required: true, Grace: day}},
		{Policy{Required: true}, Policy{Required: true, Grace: day}},
	}
}

// everyText calls f with each text message.
func everyText(c *locale.Catalog, cfg Config, f func(name string, m TextMessage)) {
	for name, t := range map[string]CodeText{"code": {}, "confirm": {Confirm: true}, "replaced": {Replaced: true}} {
		t.Code, t.Valid, t.Locale = NewSecret("123456"), textTTL, c
		f(name, cfg.newTextMessage("+41791234567", t))
	}
}

func TestMessages_InEveryLanguage(t *testing.T) {
	english := map[string]string{}
	for _, c := range languages() {
		everyMail(c, func(name string, mail Email) {
			name = c.Tag() + " " + name
			require.NotEmpty(t, mail.Subject, name)
			all := mail.Subject + mail.Text.Reveal() + mail.HTML.Reveal()
			require.NotContains(t, all, "{{", name)
			require.NotContains(t, mail.HTML.Reveal(), "notice.", name)
			require.Contains(t, mail.Subject, "Acme", name)
			require.Equal(t, mail.Subject, text.Clean(mail.Subject, 200), name)
			direction := map[bool]string{false: "ltr", true: "rtl"}[c.RTL()]
			require.Contains(t, mail.HTML.Reveal(), `<html lang="`+c.Tag()+`" dir="`+direction+`">`, name)
			if c.Tag() == "en" {
				english[mail.Subject] = name
			} else {
				require.NotContains(t, english, mail.Subject, name)
			}
		})
	}
	require.Len(t, english, 4*3+22+4+1+4+7, "each event has a subject of its own, a summary one for each number, and seven have one for the admins")
}

// Each text of the catalog that is for mail and text messages is in one. Those for
// pages are tested in twofahttp.
func TestMessages_UseEveryText(t *testing.T) {
	file, err := json.Marshal(locale.English())
	require.NoError(t, err)
	var texts map[string]string
	require.NoError(t, json.Unmarshal(file, &texts))
	marked, unused := map[string]string{}, map[string]bool{}
	for key, words := range texts {
		marked[key] = "[" + key + "]" + strings.Join(regexp.MustCompile(`\{\{\w+\}\}`).FindAllString(words, -1), "")
		if regexp.MustCompile(`^(text|mail|link|notice|method|device|policy)\b`).MatchString(key) {
			unused["["+key+"]"] = true
		}
	}
	file, err = json.Marshal(marked)
	require.NoError(t, err)
	all, err := locale.Parse(fstest.MapFS{"en.json": {Data: file}})
	require.NoError(t, err)
	seen := func(s string) {
		maps.DeleteFunc(unused, func(mark string, _ bool) bool { return strings.Contains(s, mark) })
	}
	everyMail(all[0], func(_ string, mail Email) { seen(mail.Subject + mail.Text.Reveal() + mail.HTML.Reveal()) })
	cfg := Config{SMS: SMSConfig{CodeText: writeText}}
	everyText(all[0], cfg, func(_ string, m TextMessage) { seen(m.Body.Reveal()) })
	for _, t := range []CodeText{{}, {Confirm: true}} {
		t.Valid, t.Locale = time.Minute, all[0]
		seen(writeText(t))
	}
	require.Empty(t, unused)
}

// A text message with a long issuer and a long host is one segment. Latin
// languages stay within GSM-7, which has 160 characters in a segment instead
// of 70. The line for WebOTP is the same in all languages.
func TestMessages_TextsFitOneSegment(t *testing.T) {
	cfg := Config{Issuer: strings.Repeat("I", 20), SMS: SMSConfig{CodeText: writeText, WebOTPHost: strings.Repeat("h", 16)}}
	for _, c := range languages()[:6] {
		everyText(c, cfg, func(name string, m TextMessage) {
			body := m.Body.Reveal()
			require.Equal(t, 1, text.Segments(body), "%s %s has %d characters: %s", c.Tag(), name, utf8.RuneCountInString(body), body)
			if c.Tag() != "ja" {
				require.Equal(t, 2, text.Segments(body+strings.Repeat("x", 161-utf8.RuneCountInString(body))), "%s: has letters outside GSM-7: %s", c.Tag(), body)
				require.Equal(t, 1, text.Segments(body+strings.Repeat("x", 160-utf8.RuneCountInString(body))), "%s: has letters outside GSM-7: %s", c.Tag(), body)
			}
			require.Equal(t, name != "replaced", strings.HasSuffix(body, "\n\n@"+cfg.SMS.WebOTPHost+" #123456"), body)
			require.Equal(t, c.Tag(), m.Language)
			require.NotRegexp(t, `https?:|www|\{\{`, body)
		})
	}
}

type noSender struct{ SMSSender }

func TestConfig_WarnsOfSegments(t *testing.T) {
	warned := func(edit func(c *Config)) string {
		var log bytes.Buffer
		cfg := Config{Issuer: strings.Repeat("I", 20), Languages: languages()[:6], Logger: slog.New(slog.NewTextHandler(&log, nil)),
			SMS: SMSConfig{Sender: noSender{}, WebOTPHost: strings.Repeat("h", 16)}}
		edit(&cfg)
		cfg.setDefaults()
		cfg.warnOfSegments()
		return log.String()
	}
	require.Empty(t, warned(func(*Config) {}))
	long := func(c *Config) { c.Issuer = strings.Repeat("I", 64) }
	require.Equal(t, 6, strings.Count(warned(long), "language="))
	require.NotContains(t, warned(long), "000000")
	require.Regexp(t, `language=ja segments=2`, warned(func(c *Config) { c.SMS.WebOTPHost += "h" }))
	require.Regexp(t, `language=de segments=2`, warned(func(c *Config) { c.Issuer = "Ľ" }), "one letter outside GSM-7 makes it UTF-16")
	require.Empty(t, warned(func(c *Config) { long(c); c.SMS.Sender = nil }))
}
