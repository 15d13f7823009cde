// Package pseudo makes two languages from English, which show mistakes in pages
// and messages. A sentence that is not in the catalog remains without accents, a
// box that is too narrow overflows, and a layout with a fixed side is mirrored
// wrongly. Only tests import it.
package pseudo

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing/fstest"
	"unicode/utf8"

	"github.com/twofa-go/twofa/locale"
)

// Accents returns the language en-XA: letters with accents, and texts that are
// at least 40 % longer.
func Accents() *locale.Catalog { return catalog("en-XA", accented) }

// RightToLeft returns the language ar-XB: each word in Hebrew letters, which are
// written from right to left.
func RightToLeft() *locale.Catalog { return catalog("ar-XB", hebrew) }

// catalog returns a language in which each text is that of English, changed by
// change apart from placeholders and tags.
func catalog(tag string, change func(string) string) *locale.Catalog {
	file, err := json.Marshal(locale.English())
	if err != nil {
		panic(err)
	}
	var texts map[string]string
	if err := json.Unmarshal(file, &texts); err != nil {
		panic(err)
	}
	changed := map[string]string{}
	for key, text := range texts {
		if id, ok := strings.CutSuffix(key, "_other"); ok {
			for _, form := range []string{"_zero", "_one", "_two", "_few", "_many"} { // all that Arabic has
				changed[id+form] = change(text)
			}
		}
		if !strings.HasSuffix(key, "_one") {
			changed[key] = change(text)
		}
	}
	file, err = json.Marshal(changed)
	if err != nil {
		panic(err)
	}
	all, err := locale.Parse(fstest.MapFS{tag + ".json": {Data: file}})
	if err != nil {
		panic(err)
	}
	return all[0]
}

var fixed = regexp.MustCompile(`\{\{\w+\}\}|</?b>`)

// outside changes the text between placeholders and tags.
func outside(text string, change func(string) string) string {
	var b strings.Builder
	at := 0
	for _, found := range fixed.FindAllStringIndex(text, -1) {
		b.WriteString(change(text[at:found[0]]) + text[found[0]:found[1]])
		at = found[1]
	}
	return b.String() + change(text[at:])
}

var accents = strings.NewReplacer("a", "á", "c", "ç", "e", "é", "i", "í", "n", "ñ", "o", "ö", "s", "š", "u", "ü", "y", "ý",
	"A", "Á", "C", "Ç", "E", "É", "I", "Í", "N", "Ñ", "O", "Ö", "S", "Š", "U", "Ü", "Y", "Ý")

// accented writes the additional words in front, and the same ones nearest to the
// text. If a button has the first words of a longer name, it still does.
func accented(text string) string {
	n := utf8.RuneCountInString(fixed.ReplaceAllString(text, ""))
	if n < 2 {
		return text
	}
	const more = "lörém ípšüm döllór šít ámét çönšéctétür ádípíšçíñg élít šéd dö éíüšmöd "
	extra := []rune(strings.TrimSpace(strings.Repeat(more, 1+n/100)))
	return strings.TrimSpace(string(extra[len(extra)-2*n/5-1:])) + " " + outside(text, accents.Replace)
}

// hebrew replaces letters by Hebrew ones, so that the direction of writing is
// visible in every word.
func hebrew(text string) string {
	letters := []rune("אבגדהוזחטיכלמנסעפצקרשתאבגד")
	return outside(text, func(s string) string {
		return strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z':
				return letters[r-'a']
			case r >= 'A' && r <= 'Z':
				return letters[r-'A']
			}
			return r
		}, s)
	})
}
