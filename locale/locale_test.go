package locale_test

import (
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/es"
	"github.com/twofa-go/twofa/locale/fr"
	"github.com/twofa-go/twofa/locale/ja"
	"github.com/twofa-go/twofa/locale/ptbr"
)

// all are the languages of this module.
func all() []*locale.Catalog {
	return []*locale.Catalog{locale.English(), de.Catalog(), fr.Catalog(), es.Catalog(), ptbr.Catalog(), ja.Catalog()}
}

// parse parses files, by the names of languages.
func parse(files map[string]string, base ...*locale.Catalog) ([]*locale.Catalog, error) {
	m := fstest.MapFS{}
	for name, content := range files {
		m[name+".json"] = &fstest.MapFile{Data: []byte(content)}
	}
	return locale.Parse(m, base...)
}

func must(t testing.TB, files map[string]string, base ...*locale.Catalog) []*locale.Catalog {
	t.Helper()
	c, err := parse(files, base...)
	require.NoError(t, err)
	return c
}

// Each language has each text, in other words than English unless the words are
// the same.
func TestLanguages_LackNothing(t *testing.T) {
	var tags []string
	for _, c := range all() {
		tags = append(tags, c.Tag())
		require.Empty(t, c.Missing(), c.Tag())
		require.Empty(t, untranslated(t, c), c.Tag())
		require.False(t, c.RTL())
	}
	require.Equal(t, []string{"en", "de", "fr", "es", "pt-BR", "ja"}, tags)
	require.Same(t, de.Catalog(), de.Catalog())

	copied := must(t, map[string]string{"it": `{"mail.time": "Ora: {{time}}", "notice.reset.subject": "Two-factor authentication reset for your {{issuer}} account"}`})[0]
	require.Contains(t, untranslated(t, copied), "notice.reset.subject", "a copy of the English text is no translation")
	partial := must(t, map[string]string{"it": `{"date.am": "x", "in.hours_one": "", "in.hours_other": " "}`})[0]
	require.NotContains(t, partial.Missing(), "date.am")
	require.Contains(t, partial.Missing(), "in.hours", "an empty text is a missing one")
	require.Equal(t, "in 2 hours", partial.Text("in.hours", locale.Args{"count": 2}))
}

// untranslated returns the texts of three words and more that are in English in
// another language.
func untranslated(t *testing.T, c *locale.Catalog) (ids []string) {
	t.Helper()
	texts := func(c *locale.Catalog) (texts map[string]string) {
		file, err := json.Marshal(c)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(file, &texts))
		return texts
	}
	english := texts(locale.English())
	for id, text := range texts(c) {
		if words := regexp.MustCompile(`\{\{\w+\}\}`).ReplaceAllString(text, ""); c.Tag() != "en" && text == english[id] && len(regexp.MustCompile(`\p{L}+`).FindAllString(words, -1)) > 2 {
			ids = append(ids, id)
		}
	}
	return ids
}

// The name of a button that is announced contains the words that are on it, so
// that a user who speaks to the device can say them (WCAG 2.2, 2.5.3).
func TestLanguages_NameButtonsByTheirWords(t *testing.T) {
	for _, c := range all() {
		name := c.Text("page.settings.browsers.forget.named", locale.Args{"browser": "Firefox"})
		require.Contains(t, strings.ToLower(name), strings.ToLower(c.Text("page.settings.browsers.forget", nil)), c.Tag())
	}
}

func TestText_Plurals(t *testing.T) {
	polish := must(t, map[string]string{"pl": `{"in.hours_one": "za godzinę", "in.hours_few": "za {{count}} godziny", "in.hours_many": "za {{count}} godzin", "in.hours_other": "za {{count}} godziny"}`})[0]
	for n, want := range map[int]string{1: "za godzinę", 2: "za 2 godziny", 5: "za 5 godzin", 12: "za 12 godzin", 22: "za 22 godziny"} {
		require.Equal(t, want, polish.Text("in.hours", locale.Args{"count": n}))
	}
	require.Equal(t, "in 1 minute", polish.Text("in.minutes", locale.Args{"count": 1}), "an English text has English plural forms")
	require.Equal(t, "dans 0 minute", fr.Catalog().Text("in.minutes", locale.Args{"count": 0}))
	require.Equal(t, "in 0 minutes", locale.English().Text("in.minutes", locale.Args{"count": 0}))
	require.Equal(t, "in -1 minute", locale.English().Text("in.minutes", locale.Args{"count": -1}), "it does not panic")
	require.Equal(t, "1分後", ja.Catalog().Text("in.minutes", locale.Args{"count": 1}))
}

func TestText_MistakesOfCallers(t *testing.T) {
	c := locale.English()
	require.Equal(t, "no.such.id", c.Text("no.such.id", nil))
	require.Equal(t, "&lt;no&gt;", string(c.HTML("<no>", nil)))
	require.False(t, c.Has("no.such.id"))
	require.Equal(t, "Sign in to {{issuer}}", c.Text("link.login.subject", nil))
	type name string
	require.Equal(t, "Sign in to Acme", c.Text("link.login.subject", locale.Args{"issuer": name("Acme")}))
}

func TestHTML_EscapesArgsAndKeepsBold(t *testing.T) {
	c := must(t, map[string]string{"en": `{"host.hello": "Dear <b>{{name}}</b> & {{count}} friends"}`})[0]
	args := locale.Args{"name": `<script>"'&{{count}}`, "count": 3}
	require.Equal(t, `Dear <script>"'&{{count}} & 3 friends`, c.Text("host.hello", args))
	require.Equal(t, `Dear <b>&lt;script&gt;&#34;&#39;&amp;{{count}}</b> &amp; 3 friends`, string(c.HTML("host.hello", args)))
	args["name"] = template.HTML("<bdi>Ada</bdi>")
	require.Equal(t, `Dear <b><bdi>Ada</bdi></b> &amp; 3 friends`, string(c.HTML("host.hello", args)))
}

func TestDates(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	at := time.Date(2026, 3, 2, 15, 4, 0, 0, zone)
	for i, want := range []string{"2 March 2026, 15:04 CET", "2. März 2026, 15:04 Uhr (CET)", "2 mars 2026 à 15:04 (CET)", "2 de marzo de 2026, 15:04 (CET)",
		"2 de março de 2026 às 15:04 (CET)", "2026年3月2日 15:04（CET）"} {
		require.Equal(t, want, all()[i].DateTime(at))
		require.True(t, strings.HasPrefix(want, all()[i].Date(at)))
		for month := range 12 {
			require.NotContains(t, all()[i].Date(at.AddDate(0, month, 0)), "date.month")
		}
	}
	first := at.AddDate(0, 0, -1)
	for i, want := range []string{"1 March 2026", "1. März 2026", "1er mars 2026", "1 de marzo de 2026", "1º de março de 2026", "2026年3月1日"} {
		require.Equal(t, want, all()[i].Date(first))
	}
	american := must(t, map[string]string{"en-US": `{"date.day": "{{month}} {{day}}, {{year}}", "date.time": "{{hour12}}:{{minute}} {{half}}"}`})[0]
	for hour, want := range map[int]string{0: "12:04 am", 1: "1:04 am", 12: "12:04 pm", 13: "1:04 pm", 23: "11:04 pm"} {
		require.Equal(t, "March 2, 2026, "+want+" CET", american.DateTime(time.Date(2026, 3, 2, hour, 4, 0, 0, zone)))
	}
	require.Contains(t, locale.English().DateTime(at.In(time.FixedZone("", -3*3600))), "11:04 UTC-03")
	require.Contains(t, locale.English().DateTime(at.UTC()), "14:04 UTC")
}

func TestIn(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Second: "in 1 second", 59*time.Second + 1: "in 60 seconds", time.Minute: "in 1 minute",
		time.Minute + 1: "in 2 minutes", 100 * time.Minute: "in 100 minutes", 101 * time.Minute: "in 2 hours", 24 * time.Hour: "in 24 hours"} {
		require.Equal(t, want, locale.English().In(d), d)
	}
	require.Equal(t, "in 5 Minuten", de.Catalog().In(5*time.Minute))
	require.Equal(t, "5分後", ja.Catalog().In(5*time.Minute))
}

func TestMatch(t *testing.T) {
	m := locale.NewMatcher(all()...)
	for want, tag := range map[string]string{
		"de-CH": "de", "de_AT": "de", "gsw": "de", "pt": "pt-BR", "pt-PT,pt;q=0.9": "pt-BR", "es-419,es;q=0.9,en;q=0.8": "es", "nl,fr;q=0.5": "fr",
		"ja-JP": "ja", "en-GB": "en", "zh": "en", "x-klingon": "en", "*": "en", "": "en", "de;q=0.1,fr;q=0.9": "fr", "not a tag!": "en",
		strings.Repeat("-", 5000): "en", "de," + strings.Repeat("x,", 5000): "en",
	} {
		require.Equal(t, tag, m.Match(want).Tag(), "%.40s", want)
	}
	require.Equal(t, "fr", m.Match("", "fr").Tag())
	require.Equal(t, "de", m.Match("de", "fr").Tag(), "the first one that fits decides")
	require.Equal(t, "fr", m.Match("zh", "fr").Tag())
	require.Equal(t, "fr", m.Match("!", "fr").Tag())
	require.Equal(t, "en", m.Match().Tag())
	require.Equal(t, "ja", locale.NewMatcher(ja.Catalog(), de.Catalog()).Match("zh").Tag(), "the first language is the default")
	require.Equal(t, "en", locale.NewMatcher().Match("de").Tag())
}

// A file of the host replaces single sentences of a language, adds one, and has
// texts of the host's own.
func TestParse_Overrides(t *testing.T) {
	files := map[string]string{
		"en":    `{"link.login.subject": "Log in to {{issuer}}", "host.greeting": "Hello {{name}}"}`,
		"de":    `{"link.login.subject": "Anmelden: {{issuer}}"}`,
		"de-CH": `{"date.month.3": "Merz", "host.greeting": "Grüezi {{name}}"}`,
		"it":    `{"date.month.3": "marzo"}`,
	}
	got := must(t, files, locale.English(), de.Catalog())
	var tags []string
	text := map[string]func(string, locale.Args) string{}
	for _, c := range got {
		tags = append(tags, c.Tag())
		text[c.Tag()] = c.Text
	}
	require.Equal(t, []string{"en", "de", "de-CH", "it"}, tags)
	args := locale.Args{"issuer": "Acme", "name": "Ada"}
	require.Equal(t, "Log in to Acme", text["en"]("link.login.subject", args))
	require.Equal(t, "Anmelden: Acme", text["de"]("link.login.subject", args))
	require.Equal(t, "Anmelden: Acme", text["de-CH"]("link.login.subject", args), "from German")
	require.Equal(t, "Log in to Acme", text["it"]("link.login.subject", args), "from the host's English")
	require.Equal(t, "Merz", text["de-CH"]("date.month.3", args))
	require.Equal(t, "März", text["de"]("date.month.3", args))
	require.Equal(t, "Grüezi Ada", text["de-CH"]("host.greeting", args))
	require.Equal(t, "Hello Ada", text["de"]("host.greeting", args))
	require.Contains(t, got[3].Missing(), "host.greeting")
	require.NotContains(t, got[2].Missing(), "date.day", "it is German")

	require.Equal(t, "Sign in to Acme", locale.English().Text("link.login.subject", args), "the catalog of the package is unchanged")
	require.Equal(t, "Bei Acme anmelden", de.Catalog().Text("link.login.subject", args))
	require.False(t, de.Catalog().Has("host.greeting"))

	again := must(t, map[string]string{"fr": `{}`}, got[1])
	require.Equal(t, "Hello Ada", again[0].Text("host.greeting", args), "what it fell back to remains")
	require.Equal(t, []string{"de", "fr"}, []string{again[0].Tag(), again[1].Tag()})
	again = must(t, map[string]string{"de": `{"date.am": "x"}`}, got[1])
	require.Equal(t, "Hello Ada", again[0].Text("host.greeting", args), "also if a text is replaced again")
}

func TestParse_ReportsEveryMistake(t *testing.T) {
	_, err := parse(map[string]string{
		"de": `{"no.such.id": "x", "host.only_here": "x", "host.own": "x", "mail.ip": "ohne", "mail.time": "{{time}} {{Time}}", "mail.device": "{{device}} {{ip}}", "in.hours_other": "in {{count}}",
			"in.hours_few": "in {{count}}", "in.minutes": "in {{count}}", "notice.failed.text_one": "x", "notice.reused.text": "a <i>b</i>", "notice.locked.text": "<b>x",
			"notice.disabled.text": "x</b>", "notice.reset.text": "<b>x<b>y</b></b>", "notice.revoked.text": "1 < 2", "device.app": 7, "device": {"a": "b"},
			"date.am": "a", "date.am": "b", "date.time": "{{hour}}", "date.pm": "x\u0007", "device.system": "\u202e", "text.replaced": "{{- issuer}}",
			"notice.codes.few_one": "eins", "notice.codes.few_other": "mehrere"}`,
		"fr":        `{"in.hours_one": "dans une heure", "in.hours_other": "dans {{count}} heures"}`,
		"es":        `{"date.am": "x"`,
		"nl":        `[]`,
		"it":        `{} {}`,
		"sv":        ``,
		"klingonic": `{}`,
		"da":        "{\"date.am\": \"\xff\"}",
		"pl":        `{"in.hours_one": "1", "in.hours_other": "{{count}}"}`,
	})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Equal(t, "locale:", lines[0])
	for _, want := range []string{
		`de.json: "no.such.id": unknown ID`,
		`de.json: "host.only_here": unknown ID`,
		`de.json: "host.own": unknown ID`,
		`de.json: "mail.ip": lacks the placeholder {{ip}}`,
		`de.json: "mail.time": has a malformed placeholder; write {{name}}`,
		`de.json: "mail.device": has an unknown placeholder {{ip}}`,
		`de.json: "in.hours_one": is missing, but this language has that plural form`,
		`de.json: "in.minutes": must have a text for each plural form, such as "in.minutes_other"`,
		`de.json: "notice.failed.text": must have no plural forms`,
		`de.json: "notice.reused.text": must not contain <, > or tags other than <b>`,
		`de.json: "notice.locked.text": must have <b> and </b> in pairs`,
		`de.json: "notice.disabled.text": must have <b> and </b> in pairs`,
		`de.json: "notice.reset.text": must have <b> and </b> in pairs`,
		`de.json: "notice.revoked.text": must not contain <, > or tags other than <b>`,
		`de.json: "device.app": must be a string; IDs contain dots, so objects are not nested`,
		`de.json: "device": must be a string; IDs contain dots, so objects are not nested`,
		`de.json: "date.am" occurs twice`,
		`de.json: "date.time": lacks the placeholder {{minute}}`,
		`de.json: "date.pm": must not contain control characters`,
		`de.json: "device.system": must not contain control characters`,
		`de.json: "text.replaced": has a malformed placeholder; write {{name}}`,
		`de.json: "notice.codes.few_other": lacks the placeholder {{count}}`,
		`fr.json: "in.hours_one": lacks the placeholder {{count}}`,
		`es.json: invalid JSON: the object has no end`,
		`nl.json: invalid JSON: it must be one object`,
		`it.json: invalid JSON: something follows the object`,
		`sv.json: invalid JSON: it must be one object`,
		`klingonic.json: the name is not a BCP 47 tag: language: tag is not well-formed`,
		`da.json: invalid JSON: it is not UTF-8`,
		`pl.json: "in.hours_few": is missing, but this language has that plural form`,
		`pl.json: "in.hours_many": is missing, but this language has that plural form`,
	} {
		require.Contains(t, lines, want)
		i := slices.Index(lines, want)
		lines = slices.Delete(lines, i, i+1)
	}
	require.Equal(t, []string{"locale:"}, lines, "and nothing else")

	_, err = locale.Parse(fstest.MapFS{"de.yaml": {}})
	require.ErrorContains(t, err, "no file")
	_, err = parse(map[string]string{"en": `{"host.a_one": "{{count}} <b>", "host.b_one": "x"}`})
	require.ErrorContains(t, err, `"host.b_other": is missing`, "also in texts of the host")
	_, err = parse(map[string]string{"en": `{"host.a": "{{x}}"}`, "de": `{"host.a": "{{y}}"}`})
	require.ErrorContains(t, err, `de.json: "host.a": lacks the placeholder {{x}}`)
}

// The JSON of a catalog is its file, so a program in the browser can use it.
func TestMarshal(t *testing.T) {
	for _, c := range all() {
		file, err := json.Marshal(c)
		require.NoError(t, err)
		back := must(t, map[string]string{c.Tag(): string(file)})[0]
		again, err := json.Marshal(back)
		require.NoError(t, err)
		require.JSONEq(t, string(file), string(again))
		require.Equal(t, c.In(time.Minute), back.In(time.Minute))
	}
}

// All methods can be called at the same time.
func TestConcurrent(t *testing.T) {
	m := locale.NewMatcher(all()...)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, c := range all() {
				_ = c.HTML("link.login.text", locale.Args{"issuer": "Acme"})
				_ = m.Match(c.Tag()).In(time.Hour) + c.DateTime(time.Now())
				_ = c.Missing()
			}
		})
	}
	wg.Wait()
}

// A text without placeholders is not copied, and another is written once.
func TestText_Allocates(t *testing.T) {
	c, issuer := locale.English(), "Acme"
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = c.Text("notice.failed.text", nil) }))
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = c.Text("link.login.text", locale.Args{"issuer": issuer}) }), 1.0)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = c.Text("in.minutes", locale.Args{"count": 7}) }), 1.0)
}

var tagOrEntity = regexp.MustCompile(`</?b>`)

// Whatever a file contains, Parse returns an error or a catalog whose HTML has
// no tag except <b> in pairs, and no other use of <, > and quotes.
func FuzzParse(f *testing.F) {
	f.Add(`{"host.a": "<b>{{x}}</b> & \"", "host.b_one": "{{count}}", "host.b_other": "{{x}} {{count}}"}`, `"><script>`)
	f.Add(`{"host.a": "{{x}}{{x}}<b></b>"}`, "<b>{{x}}")
	f.Fuzz(func(t *testing.T, file, arg string) {
		arg = strings.ReplaceAll(arg, "\x00", "") // escaping replaces it
		got, err := parse(map[string]string{"en": file})
		if err != nil {
			return
		}
		var keys map[string]any
		require.NoError(t, json.Unmarshal([]byte(file), &keys))
		for key := range keys {
			id, _, _ := strings.Cut(key, "_")
			for _, id := range []string{key, id} {
				args := locale.Args{"x": arg, "issuer": arg, "count": len(arg)}
				out := string(got[0].HTML(id, args))
				require.Equal(t, strings.Count(out, "<b>"), strings.Count(out, "</b>"), out)
				require.NotRegexp(t, `[<>"']`, tagOrEntity.ReplaceAllString(out, ""))
				if got[0].Has(id) {
					require.Equal(t, got[0].Text(id, args), html.UnescapeString(tagOrEntity.ReplaceAllString(out, "")))
				}
			}
		}
	})
}

func FuzzHTML(f *testing.F) {
	f.Add("link.action.subject", `<b>"</b>`, 3)
	f.Fuzz(func(t *testing.T, id, arg string, n int) {
		arg = strings.ReplaceAll(arg, "\x00", "") // escaping replaces it
		for _, c := range all() {
			args := locale.Args{"issuer": arg, "action": arg, "count": n}
			require.NotRegexp(t, `[<>"']`, string(c.HTML(id, args)), "no text of this module has a tag yet")
			require.NotRegexp(t, `[<>"']`, string(c.HTML("link.action.subject", args)))
			require.Equal(t, c.Text("link.action.subject", args), html.UnescapeString(string(c.HTML("link.action.subject", args))))
			require.NotEmpty(t, c.Text("in.hours", args))
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("de-CH,fr;q=0.3")
	f.Add("*;q=0")
	m := locale.NewMatcher(all()...)
	f.Fuzz(func(t *testing.T, header string) { require.NotNil(t, m.Match(header)) })
}

func Example() {
	c := de.Catalog()
	fmt.Println(c.Text("link.login.subject", locale.Args{"issuer": "Acme"}))
	fmt.Println(c.In(10 * time.Minute))
	fmt.Println(c.DateTime(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)))
	// Output:
	// Bei Acme anmelden
	// in 10 Minuten
	// 2. März 2026, 09:00 Uhr (UTC)
}

func BenchmarkText(b *testing.B) {
	c, issuer := locale.English(), "Acme"
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Text("link.login.text", locale.Args{"issuer": issuer})
	}
}

func BenchmarkText_WithoutPlaceholder(b *testing.B) {
	c := locale.English()
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Text("notice.failed.text", nil)
	}
}

func BenchmarkText_Plural(b *testing.B) {
	c := locale.English()
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Text("in.minutes", locale.Args{"count": 7})
	}
}

func BenchmarkHTML(b *testing.B) {
	c, issuer := locale.English(), "Acme"
	b.ReportAllocs()
	for b.Loop() {
		_ = c.HTML("link.login.text", locale.Args{"issuer": issuer})
	}
}

func BenchmarkMatch(b *testing.B) {
	m := locale.NewMatcher(all()...)
	b.ReportAllocs()
	for b.Loop() {
		_ = m.Match("de-CH,de;q=0.9,en;q=0.8")
	}
}
