package app

import (
	"net/http"
	"slices"

	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/es"
	"github.com/twofa-go/twofa/locale/fr"
	"github.com/twofa-go/twofa/locale/ja"
	"github.com/twofa-go/twofa/locale/ptbr"
	"github.com/twofa-go/twofa/twofahttp"
)

// The second factor is in the language that the visitor chooses in the footer:
// its pages, emails and text messages. The pages of the product itself are in
// English only.

// language is an entry in the switch. Its name is in the language itself.
type language struct {
	Tag, Name string
	texts     *locale.Catalog
}

// languages are those that package twofa is given. The first one is for
// visitors who want none of them.
var languages = []language{
	{"en", "English", locale.English()},
	{"de", "Deutsch", de.Catalog()},
	{"es", "Español", es.Catalog()},
	{"fr", "Français", fr.Catalog()},
	{"ja", "日本語", ja.Catalog()},
	{"pt-BR", "Português (Brasil)", ptbr.Catalog()},
}

func catalogs() []*locale.Catalog {
	var all []*locale.Catalog
	for _, l := range languages {
		all = append(all, l.texts)
	}
	return all
}

const languageCookie = "language"

// languageOf returns the language of a request, for twofahttp.Config.Language.
// What a user has chosen while signed in is stored with the user. Before that,
// it is in a cookie, because a sign-in begins with an empty web session.
func languageOf(r *http.Request) string {
	if v := visitorOf(r); v != nil && v.User.Language != "" {
		return v.User.Language
	}
	if c, err := r.Cookie(languageCookie); err == nil && isLanguage(c.Value) {
		return c.Value
	}
	return r.Header.Get("Accept-Language")
}

func isLanguage(tag string) bool {
	return slices.ContainsFunc(languages, func(l language) bool { return l.Tag == tag })
}

// chooseLanguage leads back to the page with the switch.
func (a *App) chooseLanguage(w http.ResponseWriter, r *http.Request) error {
	tag := r.PostFormValue("language")
	if !isLanguage(tag) {
		return &httpError{http.StatusBadRequest, "We don’t have that language."}
	}
	if v := visitorOf(r); v != nil {
		if _, err := a.db.ExecContext(r.Context(), `UPDATE users SET language = $1 WHERE id = $2`, tag, v.User.ID); err != nil {
			return err
		}
	}
	http.SetCookie(w, &http.Cookie{Name: languageCookie, Value: tag, Path: "/", MaxAge: 365 * 24 * 60 * 60,
		Secure: a.web.SecureCookies(r), HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, twofahttp.SafeRedirect(r.PostFormValue("next"), "/"), http.StatusSeeOther)
	return nil
}
