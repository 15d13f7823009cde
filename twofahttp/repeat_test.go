package twofahttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// copy returns a browser with the same cookies.
func (b *browser) copy() *browser {
	c := b.h.browser()
	u, _ := url.Parse(b.h.srv.URL)
	for _, cookie := range b.jar.Cookies(u) {
		c.setCookie(cookie.Name, cookie.Value)
	}
	c.csrf = b.csrf
	return c
}

// form is a form that is sent twice.
type form struct {
	path  string
	pairs []string
}

// twice returns what a browser has after it has sent a form again before the
// first answer came. It drops the first answer and its cookies.
func (f form) twice(b *browser, atOnce bool) (second *browser, first, last answer) {
	second = b.copy()
	if !atOnce {
		first = b.post(f.path, f.pairs...)
		b.h.clock.pass(250 * time.Millisecond)
		return second, first, second.post(f.path, f.pairs...)
	}
	done := make(chan answer)
	go func() { done <- b.post(f.path, f.pairs...) }()
	last = second.post(f.path, f.pairs...)
	return second, <-done, last
}

func TestForms_SentTwice(t *testing.T) {
	emailAction := twofa.PolicyEmailLink()
	emailAction.Actions = map[string]twofa.ActionRule{"contacts.export": {Methods: []twofa.Method{twofa.EmailLink}}}
	once := twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Remember: 30 * 24 * time.Hour,
		Actions: map[string]twofa.ActionRule{twofa.ActionFactors: {}}} // a proof serves once
	settings := func(h *host) (*browser, app) { // in the settings, after a proof that serves once
		b := h.browser()
		phone, _ := b.enroll("ada")
		b.follow(b.get("/2fa/confirm?action=factors&next=/2fa/"))
		b.prove(phone)
		return b, phone
	}
	post := func(path string, pairs ...string) form { return form{path, pairs} }
	key := ""
	for _, c := range []struct {
		name   string
		policy twofa.Policy
		mail   bool
		start  func(*host) (*browser, form)
		ends   string // address in the answer
		page   string // on the page there
		out    bool   // whether the user is signed out at the end
		then   func(*host, *browser)
	}{
		{name: "login without a factor", start: func(h *host) (*browser, form) {
			b := h.browser()
			b.get("/login")
			return b, post("/login", "user", "ada", "next", "/contacts")
		}, ends: "/contacts", page: "contacts page"},
		{name: "login without any cookie", start: func(h *host) (*browser, form) {
			return h.browser(), post("/login", "user", "ada", "next", "/contacts")
		}, ends: "/contacts", page: "contacts page"},
		{name: "login with a code", start: func(h *host) (*browser, form) {
			phone, _ := h.browser().enroll("ada")
			b := h.browser()
			b.get("/login")
			key = phone.key
			return b, post("/login", "user", "ada")
		}, ends: "/2fa/challenge?cookies=set", page: "Enter your code", out: true, then: func(h *host, b *browser) {
			b.post("/2fa/verify", "method", "totp", "code", app{h, key}.next())
			require.True(h, b.signedIn())
		}},
		{name: "login with a link", policy: twofa.PolicyEmailLink(), mail: true, start: func(h *host) (*browser, form) {
			b := h.browser()
			b.get("/login")
			return b, post("/login", "user", "ada")
		}, ends: "/2fa/challenge?cookies=set", page: "Check your email", out: true, then: func(h *host, b *browser) {
			require.Equal(h, 1, h.outbox.links())
			b.get(h.mailed())
			require.Equal(h, "home page", b.follow(b.post("/2fa/link", "token", tokenOf(h.mailed()))).Body)
		}},
		{name: "verify by app", start: func(h *host) (*browser, form) {
			b, phone, _ := h.pending("ada")
			return b, post("/2fa/verify", "method", "totp", "code", phone.next())
		}, ends: "/", page: "home page"},
		{name: "verify by recovery code", start: func(h *host) (*browser, form) {
			b, _, codes := h.pending("ada")
			return b, post("/2fa/verify", "method", "recovery", "code", codes[0])
		}, ends: "/2fa/recovered?next=%2F", page: "9 codes left"},
		{name: "verify by text message", policy: twofa.PolicySMS(), start: func(h *host) (*browser, form) {
			enrollPhone(h)
			b := h.browser()
			b.login("ada")
			return b, post("/2fa/verify", "method", "sms", "code", h.outbox.code(), "remember", "yes")
		}, ends: "/", page: "home page"},
		{name: "wrong code", start: func(h *host) (*browser, form) {
			b, phone, _ := h.pending("ada")
			return b, post("/2fa/verify", "method", "totp", "code", phone.wrong())
		}, page: "You have 4 more tries.", out: true},
		{name: "send", policy: twofa.PolicyEmailLink(), mail: true, start: func(h *host) (*browser, form) {
			b := h.browser()
			b.login("ada")
			h.clock.pass(2 * time.Minute)
			return b, post("/2fa/send", "method", "email")
		}, ends: "/2fa/challenge", page: "Check your email", out: true, then: func(h *host, b *browser) {
			require.Equal(h, 2, h.outbox.links())
			b.post("/2fa/link", "token", tokenOf(h.mailed()))
			require.True(h, b.signedIn())
		}},
		{name: "link", policy: twofa.PolicyEmailLink(), mail: true, start: func(h *host) (*browser, form) {
			b := h.browser()
			b.login("ada", "next", "/contacts")
			b.get(h.mailed())
			return b, post("/2fa/link", "token", tokenOf(h.mailed()))
		}, ends: "/contacts", page: "contacts page"},
		{name: "link for an action", policy: emailAction, mail: true, start: func(h *host) (*browser, form) {
			b := h.browser()
			b.login("ada")
			b.post("/2fa/link", "token", tokenOf(h.mailed()))
			h.clock.pass(time.Minute)
			b.follow(b.post("/contacts/export"))
			return b, post("/2fa/link", "token", tokenOf(h.mailed()))
		}, ends: "/contacts", page: "contacts page", then: exportsOnce},
		{name: "link that leads to enrollment", policy: twofa.PolicyAuthenticator(), mail: true, start: func(h *host) (*browser, form) {
			b := h.browser()
			b.login("ada")
			return b, post("/2fa/link", "token", tokenOf(h.mailed()))
		}, ends: "/2fa/setup", page: "Your account requires two-factor authentication", out: true, then: func(h *host, b *browser) {
			b.follow(b.post("/2fa/setup", "method", "totp"))
			page := b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
			require.Equal(h, "home page", b.finish(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code())).Body)
		}},
		{name: "step-up", start: func(h *host) (*browser, form) {
			b := h.browser()
			phone, _ := b.enroll("ada")
			b.follow(b.post("/contacts/export"))
			return b, post("/2fa/verify", "method", "totp", "code", phone.next())
		}, ends: "/contacts", page: "contacts page", then: exportsOnce},
		{name: "setup", policy: once, start: func(h *host) (*browser, form) {
			b, _ := settings(h)
			return b, post("/2fa/setup", "method", "totp", "name", "Tablet")
		}, ends: "/2fa/setup", page: "data:image/svg"},
		{name: "setup of a phone", policy: once, start: func(h *host) (*browser, form) {
			b, _ := settings(h)
			return b, post("/2fa/setup", "method", "sms", "phone", "+41791234567")
		}, ends: "/2fa/setup", page: "Confirm your phone", then: func(h *host, b *browser) {
			require.Equal(h, 1, h.outbox.sentTexts())
			require.Contains(h, b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code())).Body, "New method added")
		}},
		{name: "required setup", policy: withoutLink(twofa.PolicyAuthenticator()), start: func(h *host) (*browser, form) {
			b := h.browser()
			b.login("ada")
			return b, post("/2fa/setup", "method", "totp")
		}, ends: "/2fa/setup", page: "Save your recovery codes", out: true},
		{name: "confirm", start: func(h *host) (*browser, form) {
			b := h.browser()
			b.login("ada")
			b.get("/2fa/setup?start=1")
			page := b.follow(b.post("/2fa/setup", "method", "totp"))
			return b, post("/2fa/setup/confirm", "code", h.scan(page.Body).code())
		}, ends: "/2fa/setup", page: "Save your recovery codes"},
		{name: "confirm as last step", policy: once, start: func(h *host) (*browser, form) {
			b, _ := settings(h)
			page := b.follow(b.post("/2fa/setup", "method", "totp", "name", "Tablet"))
			return b, post("/2fa/setup/confirm", "code", h.scan(page.Body).code())
		}, ends: "/2fa/", page: "New method added"},
		{name: "required confirm", policy: withoutLink(twofa.PolicyAuthenticator()), start: func(h *host) (*browser, form) {
			b := h.browser()
			b.login("ada", "next", "/contacts")
			b.follow(b.post("/2fa/setup", "method", "totp"))
			page := b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
			return b, post("/2fa/setup/confirm", "code", h.scan(page.Body).code())
		}, ends: "/2fa/done?next=%2Fcontacts", page: "Two-factor authentication is on"},
		{name: "saved", start: func(h *host) (*browser, form) {
			b := h.browser()
			b.login("ada")
			b.get("/2fa/setup?start=1")
			page := b.follow(b.post("/2fa/setup", "method", "totp"))
			b.follow(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code()))
			return b, post("/2fa/setup/saved", "saved", "yes")
		}, ends: "/2fa/", page: "Two-factor authentication is on"},
		{name: "saved new codes", policy: once, start: func(h *host) (*browser, form) {
			b, _ := settings(h)
			b.follow(b.post("/2fa/codes/new"))
			return b, post("/2fa/setup/saved", "saved", "yes")
		}, ends: "/2fa/", page: "Older ones no longer work"},
		{name: "required saved", policy: withoutLink(twofa.PolicyAuthenticator()), start: func(h *host) (*browser, form) {
			b := h.browser()
			b.login("ada")
			b.follow(b.post("/2fa/setup", "method", "totp"))
			return b, post("/2fa/setup/saved", "saved", "yes")
		}, ends: "/2fa/setup", page: "data:image/svg", out: true},
		{name: "rename", policy: once, start: func(h *host) (*browser, form) {
			b, _ := settings(h)
			id := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
			return b, post("/2fa/factors/rename", "id", id, "name", "Tablet")
		}, ends: "/2fa/", page: "Name changed"},
		{name: "remove", policy: once, start: func(h *host) (*browser, form) {
			b, _ := settings(h)
			id := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
			return b, post("/2fa/factors/remove", "id", id)
		}, ends: "/2fa/", page: "Two-factor authentication is off"},
		{name: "codes/new", policy: once, start: func(h *host) (*browser, form) {
			b, _ := settings(h)
			return b, post("/2fa/codes/new")
		}, ends: "/2fa/setup", page: "Save your recovery codes"},
		{name: "forget", policy: once, start: func(h *host) (*browser, form) {
			b, _ := settings(h)
			id := b.browserID()
			return b, post("/2fa/browsers/forget", "id", id)
		}, ends: "/2fa/", page: "forgotten"},
		{name: "forget all", policy: once, start: func(h *host) (*browser, form) {
			b, _ := settings(h)
			return b, post("/2fa/browsers/forget-all")
		}, ends: "/2fa/", page: "forgotten"},
		{name: "revoke", policy: once, start: func(h *host) (*browser, form) {
			b, _ := settings(h)
			return b, post("/2fa/revoke")
		}, ends: "/2fa/done", page: "You are signed out everywhere", out: true},
		{name: "signin", start: func(h *host) (*browser, form) {
			b := h.browser()
			b.enroll("ada")
			return b, post("/2fa/signin", "next", "/2fa/")
		}, ends: "/login?next=%2F2fa%2F", page: "login page", out: true},
		{name: "cancel of a login", policy: twofa.PolicyEmailLink(), mail: true, start: func(h *host) (*browser, form) {
			b := h.browser()
			b.login("ada")
			return b, post("/2fa/cancel")
		}, ends: "/login", page: "login page", out: true},
		{name: "cancel of a step-up", start: func(h *host) (*browser, form) {
			b := h.browser()
			b.enroll("ada")
			b.follow(b.post("/contacts/export"))
			return b, post("/2fa/cancel")
		}, ends: "/", page: "home page"},
	} {
		for name, atOnce := range map[string]bool{"": false, ", at once": true} {
			t.Run(c.name+name, func(t *testing.T) {
				var tune []func(*twofa.Config, *twofahttp.Config)
				if !c.mail {
					tune = append(tune, noMail)
				}
				h := newHost(t, c.policy, tune...)
				b, f := c.start(h)
				b, first, last := f.twice(b, atOnce)
				require.Equal(t, first.StatusCode, last.StatusCode)
				require.Equal(t, first.Header.Get("Location"), last.Header.Get("Location"), "the second answer ends where the first did")
				require.Equal(t, c.ends, last.Header.Get("Location"))
				require.Contains(t, b.follow(last).Body, c.page)
				require.Equal(t, !c.out, b.signedIn())
				if c.then != nil {
					c.then(h, b)
				}
			})
		}
	}
}

// exportsOnce checks that two forms made one proof.
func exportsOnce(h *host, b *browser) {
	require.Equal(h, secretExport, b.post("/contacts/export").Body)
	require.Equal(h, http.StatusSeeOther, b.post("/contacts/export").StatusCode)
}

// enrollPhone enrolls a phone for ada, an hour ago.
func enrollPhone(h *host) {
	b := h.browser()
	b.login("ada")
	b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code()))
	h.clock.pass(time.Hour)
}

// The answer to a form is not repeated for anybody else, later, or after a logout.
func TestForms_SentTwice_Refused(t *testing.T) {
	start := func(t *testing.T) (*host, *browser, form) {
		h := newHost(t, twofa.PolicyOptional())
		b := h.browser()
		phone, _ := b.enroll("ada")
		b.follow(b.post("/contacts/export"))
		return h, b, form{"/2fa/verify", []string{"method", "totp", "code", phone.next()}}
	}
	t.Run("later", func(t *testing.T) {
		h, b, f := start(t)
		old := b.copy()
		b.post(f.path, f.pairs...)
		h.clock.pass(10 * time.Second)
		page := old.post(f.path, f.pairs...)
		require.Equal(t, 410, page.StatusCode)
		require.NotContains(t, page.Body, "Go to <bdi>Acme</bdi>")
		require.False(t, old.signedIn())
	})
	t.Run("after the answer, as by Back and Submit", func(t *testing.T) {
		_, b, f := start(t)
		b.post(f.path, f.pairs...)
		page := b.post(f.path, f.pairs...)
		require.Equal(t, 410, page.StatusCode)
		require.Contains(t, page.Body, "This is already done, or took too long")
		require.Contains(t, page.Body, "Go to <bdi>Acme</bdi>")
		require.True(t, b.signedIn())
	})
	t.Run("after a logout", func(t *testing.T) {
		_, b, f := start(t)
		old := b.copy()
		b.post(f.path, f.pairs...)
		b.get("/2fa/")
		b.post("/2fa/signin")
		require.Equal(t, 410, old.post(f.path, f.pairs...).StatusCode)
		require.False(t, old.signedIn())
	})
	t.Run("after signing out everywhere", func(t *testing.T) {
		_, b, f := start(t)
		old := b.copy()
		b.post(f.path, f.pairs...)
		b.get("/2fa/")
		b.post("/2fa/revoke")
		require.Equal(t, 410, old.post(f.path, f.pairs...).StatusCode)
		require.False(t, old.signedIn())
	})
	t.Run("with other cookies", func(t *testing.T) {
		_, b, f := start(t)
		old := b.copy()
		b.post(f.path, f.pairs...)
		old.setCookie(sessionCookie, "planted")
		require.Equal(t, 410, old.post(f.path, f.pairs...).StatusCode)
		require.False(t, old.signedIn())
	})
	t.Run("with another code", func(t *testing.T) {
		_, b, f := start(t)
		old := b.copy()
		b.post(f.path, f.pairs...)
		f.pairs[3] = "000000"
		require.Equal(t, 410, old.post(f.path, f.pairs...).StatusCode)
		require.False(t, old.signedIn())
	})
}

// A login after a Cancel is another one, even if its form is the same.
func TestForms_LoginAfterCancel(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.get("/2fa/")
	b.post("/2fa/signin")
	b.get("/login")
	b.follow(b.post("/login", "user", "ada"))
	b.post("/2fa/verify", "method", "totp", "code", "000000")
	b.post("/2fa/cancel")
	b.follow(b.post("/login", "user", "ada"))
	b.follow(b.post("/2fa/verify", "method", "totp", "code", phone.next()))
	require.True(t, b.signedIn())
}

// impatient fails if the request has been canceled.
type impatient struct{ *outbox }

func (i impatient) SendMail(ctx context.Context, m twofa.Email) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return i.outbox.SendMail(ctx, m)
}

// A browser that sends a form again hangs up on the first request. The link that
// the first one counted must leave even so.
func TestForms_FirstRequestIsCanceled(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink(), func(c *twofa.Config, _ *twofahttp.Config) { c.Mail.Mailer = impatient{c.SMS.Sender.(*outbox)} })
	b := h.browser()
	b.get("/login")
	second := b.copy()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := b.request("POST", "/login", "user=ada").WithContext(ctx)
	r.Header.Set("Cookie", sessionCookie+"="+b.cookie(sessionCookie))
	h.web.FirstFactor(httptest.NewRecorder(), r, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}, "")
	require.Equal(t, 1, h.outbox.links())
	r = b.request("POST", "/login", "user=ada")
	r.Header.Set("Cookie", sessionCookie+"="+b.cookie(sessionCookie))
	w := httptest.NewRecorder()
	h.web.FirstFactor(w, r, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}, "")
	require.Equal(t, "/2fa/challenge?cookies=set", w.Header().Get("Location"))
	for _, c := range w.Result().Cookies() {
		second.setCookie(c.Name, c.Value)
	}
	second.get(h.mailed())
	second.post("/2fa/link", "token", tokenOf(h.mailed()))
	require.True(t, second.signedIn())
}

// Two clients behind one address, with the same browser and no cookie but one
// that everybody has, are not one browser.
func TestForms_LoginsOfTwoNewBrowsersAreNotOne(t *testing.T) {
	h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Required: true}, noMail)
	eve, ada := h.browser(), h.browser() // eve knows ada's password
	for _, b := range []*browser{eve, ada} {
		b.setCookie("lang", "en")
	}
	eve.post("/login", "user", "ada")
	ada.post("/login", "user", "ada")
	ada.get("/2fa/setup")
	for _, name := range []string{"__Host-twofa-browser", "__Host-twofa-setup"} {
		require.NotEmpty(t, ada.cookie(name))
		assert.NotEqual(t, eve.cookie(name), ada.cookie(name), name)
	}
	// Eve must not read what ada is shown.
	codes := codesOn(ada.follow(ada.post("/2fa/setup", "method", "totp")).Body)
	require.NotEmpty(t, codes)
	require.Empty(t, codesOn(eve.get("/2fa/setup").Body))
}
