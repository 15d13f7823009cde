package twofahttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// undeliverable refuses messages to some recipients for good.
type undeliverable struct {
	*outbox
	refuse string
}

func (u *undeliverable) SendMail(ctx context.Context, m twofa.Email) error {
	if u.refuse != "" && strings.Contains(m.To, u.refuse) {
		return twofa.ErrUndeliverable
	}
	return u.outbox.SendMail(ctx, m)
}

func (u *undeliverable) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	if u.refuse != "" && strings.Contains(m.To, u.refuse) {
		return twofa.ErrUndeliverable
	}
	return u.outbox.SendSMS(ctx, m)
}

// refusing makes the mailer and the gateway of a host refuse a recipient.
func refusing(u *undeliverable) func(*twofa.Config, *twofahttp.Config) {
	return func(c *twofa.Config, _ *twofahttp.Config) {
		u.outbox = c.SMS.Sender.(*outbox)
		c.SMS.Sender = u
		if c.Mail.Mailer != nil {
			c.Mail.Mailer = u
		}
	}
}

func TestUndeliverable_PhoneForm(t *testing.T) {
	u := &undeliverable{refuse: "799999999"}
	h := newHost(t, twofa.PolicySMS(), noMail, refusing(u))
	b := h.browser()
	b.login("ada")
	page := b.post("/2fa/setup", "method", "sms", "region", "CH", "phone", "079 999 99 99")
	require.Equal(t, 422, page.StatusCode)
	require.Contains(t, page.Body, "cannot receive our messages")
	require.Contains(t, page.Body, `value="079 999 99 99"`, "the form keeps what was typed")
	require.Contains(t, page.Body, `<option value="CH" selected>`)
	page = b.follow(b.post("/2fa/setup", "method", "sms", "region", "CH", "phone", "079 123 45 67"))
	require.Contains(t, page.Body, "Save your recovery codes", "the refused number used up nothing")
}

func TestUndeliverable_Login(t *testing.T) {
	u := &undeliverable{refuse: "ada"}
	h := newHost(t, twofa.PolicyEmailLink(), refusing(u))
	b := h.browser()
	page := b.login("ada")
	require.Contains(t, page.Body, "Get a sign-in link")
	require.Contains(t, page.Body, "cannot receive our messages", "the page says why no link was sent")
	page = b.post("/2fa/send", "method", "email")
	require.Equal(t, 422, page.StatusCode)
	require.Contains(t, page.Body, "cannot receive our messages")
	u.refuse = ""
	require.Contains(t, b.follow(b.post("/2fa/send", "method", "email")).Body, "Check your email")
}

func TestUndeliverable_JSON(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	r := b.request("GET", "/", "")
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	h.web.Error(w, r, twofa.ErrUndeliverable)
	require.Equal(t, 422, w.Code)
	require.Contains(t, w.Body.String(), `"code":"undeliverable"`)
}

func TestSignInHere(t *testing.T) {
	account := "acme"
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.Account = func(*http.Request) string { return account }
	})
	b := h.browser()
	b.follow(b.post("/login", "user", "ada", "account", "acme", "sso", "acme"))
	require.True(t, b.signedIn())
	account = "beta"
	a := b.api("GET", "/contacts?page=2")
	require.Equal(t, 401, a.StatusCode)
	require.Equal(t, "sign_in_here", problemCode(t, a))
	require.Equal(t, "/login?reason=sign_in_here", pageOf(t, a))
	require.Equal(t, "/login?next=%2Fcontacts%3Fpage%3D2&reason=sign_in_here", b.get("/contacts?page=2").Header.Get("Location"))
	page := b.get("/contacts?page=2") // a login page that sends signed-in users home leads back
	require.Equal(t, 401, page.StatusCode)
	require.Contains(t, page.Body, "Sign in to this account")
	require.Contains(t, page.Body, `href="/login?next=%2Fcontacts%3Fpage%3D2&amp;reason=sign_in_here"`, "the user comes back")
	account = "acme"
	require.True(t, b.signedIn(), "the session stays valid elsewhere")

	account = "beta"
	require.Equal(t, "contacts page", b.login("ada", "account", "beta", "next", "/contacts").Body)
	account = "acme"
	require.True(t, b.signedIn(), "the password adds a first factor to the same session")
}

// A session that counts in its account is not enough to change a password if only
// the account's own provider vouched for the user. The page says so at once.
func TestError_OwnSignIn(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.follow(b.post("/login", "user", "ada", "account", "acme", "sso", "acme"))
	require.True(t, b.signedIn())
	for accept, contains := range map[string][]string{
		"text/html":        {"Sign in with your password", "To change your password or address", `href="/login?next=%2Fsettings&amp;reason=sign_in_here"`},
		"application/json": {`"code":"own_sign_in_required"`, `"action":"credentials"`, `"page":"/login?reason=sign_in_here"`},
	} {
		r := b.request("GET", "/settings", "")
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.web.Error(w, r, h.m.CheckPerson(t.Context(), h.web.Caller(mustRequest(b))))
		require.Equal(t, 401, w.Code)
		for _, text := range contains {
			require.Contains(t, w.Body.String(), text)
		}
	}
	require.True(t, b.signedIn(), "the session stays valid")
	b.login("ada", "account", "acme")
	require.NoError(t, h.m.CheckPerson(t.Context(), h.web.Caller(mustRequest(b))))
}

func TestSupportRequired(t *testing.T) {
	h := newHost(t, twofa.PolicyAuthenticator(), func(c *twofa.Config, _ *twofahttp.Config) {
		c.Directory = twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id}, nil }) // no address
	})
	b := h.browser()
	page := b.login("ada")
	require.Equal(t, 403, page.StatusCode)
	require.Contains(t, page.Body, "Contact support")
	require.Contains(t, page.Body, `href="/2fa/help">`+english("page.message.support"))
	require.NotContains(t, page.Body, "setup")
	r := b.request("POST", "/login", "user=ada")
	r.Header.Set("Accept", "application/json")
	a := b.do(r)
	require.Equal(t, "support_required", problemCode(t, a))
	require.NotContains(t, a.Body, `"page"`)
	require.False(t, b.signedIn())
}

// A user whom only an identity provider vouched for proves to own the mailbox
// before enrolling the first factor.
func TestEnrollment_LinkComesFirst(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.follow(b.post("/login", "user", "ada", "account", "acme", "sso", "acme"))
	require.True(t, b.signedIn())
	b.get("/2fa/setup?start=1")
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Contains(t, page.Body, "We emailed a link to", "the link is sent at once")
	require.Contains(t, page.Body, "Confirm it’s you")
	require.Equal(t, 1, h.outbox.links())
	b.get("/2fa/confirm?action=factors&next=/2fa/setup?start=1")
	require.Contains(t, b.get("/2fa/challenge").Body, "We emailed a link to")
	require.Equal(t, 1, h.outbox.links(), "the page can be loaded again")
	b.get(h.mailed())
	page = b.follow(b.post("/2fa/link", "token", tokenOf(h.mailed())))
	require.Contains(t, page.Body, "Set up two", "back to where the user was")
	page = b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Contains(t, page.Body, "data:image/svg")
	page = b.follow(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code()))
	require.Contains(t, b.follow(b.post("/2fa/setup/saved", "saved", "yes")).Body, onBadge)
}

// Another site that leads a user to the page sends nothing in the user's name.
func TestStepUp_OtherSiteSendsNoLink(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.follow(b.post("/login", "user", "ada", "account", "acme", "sso", "acme"))
	r := b.request("GET", "/2fa/confirm?action=factors", "")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	page := b.follow(b.do(r))
	require.Contains(t, page.Body, "Email me a link")
	require.Zero(t, h.outbox.links())
}

func TestSettings_ForgetNeedsProof(t *testing.T) {
	h := newHost(t, twofa.Policy{Remember: 30 * 24 * time.Hour})
	b := h.browser()
	phone, _ := b.enroll("ada")
	h.clock.pass(staleProof)
	id := b.browserID()
	page := b.follow(b.post("/2fa/browsers/forget", "id", id))
	require.Contains(t, page.Body, "Confirm it’s you", "an unremembered browser stays known without a proof")
	page = b.prove(phone)
	require.Contains(t, page.Body, english("page.change.forget.title", "browser", "Firefox on Linux"), "back to the page of the change")
	require.Contains(t, b.follow(b.post("/2fa/browsers/forget", "id", id)).Body, english("page.settings.browsers.none"))
}

func TestEnrollment_CookieLivesAsLongAsTheEnrollment(t *testing.T) {
	h := newHost(t, twofa.PolicyAuthenticator(), noMail)
	b := h.browser()
	challenge := func(a answer) string {
		t.Helper()
		for _, c := range a.Cookies() {
			if c.Name == "__Host-twofa-setup" && c.MaxAge > 0 {
				require.Equal(t, 7200, c.MaxAge)
				return c.Value
			}
		}
		return ""
	}
	b.login("ada")
	h.clock.pass(9 * time.Minute)
	first := b.post("/2fa/setup", "method", "totp")
	require.NotEmpty(t, challenge(first), "setup stores the renewed challenge")
	b.follow(first)
	h.clock.pass(29 * time.Minute)
	second := b.post("/2fa/setup/saved", "saved", "yes")
	require.NotEmpty(t, challenge(second), "saved stores the renewed challenge")
	require.NotEqual(t, challenge(first), challenge(second))
	page := b.follow(second)
	h.clock.pass(29 * time.Minute)
	require.Equal(t, "home page", b.finish(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code())).Body)
}

func TestEnrollment_ConfirmRenews(t *testing.T) {
	h := newHost(t, twofa.PolicySMS(), noMail)
	b := h.browser()
	b.login("ada")
	h.clock.pass(9 * time.Minute)
	b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41 79 123 45 67"))
	before := b.cookie("__Host-twofa-setup")
	b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code()))
	h.clock.pass(4 * time.Minute)
	b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code()))
	require.NotEqual(t, before, b.cookie("__Host-twofa-setup"), "confirm stores the renewed challenge")
	h.clock.pass(29 * time.Minute)
	require.Equal(t, "home page", b.finish(b.post("/2fa/setup/saved", "saved", "yes")).Body)
}

// A link and its challenge live up to an hour, and so does the cookie.
func TestLogin_LinkForAnHour(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink(), func(c *twofa.Config, _ *twofahttp.Config) { c.Lifetimes.Link = time.Hour })
	b := h.browser()
	b.login("ada")
	h.clock.pass(59 * time.Minute)
	b.get(h.mailed())
	b.post("/2fa/link", "token", tokenOf(h.mailed()))
	require.True(t, b.signedIn())
}

func TestStatus_MovedOnToEnrollment(t *testing.T) {
	h := newHost(t, twofa.PolicyAuthenticator())
	b := h.browser()
	b.login("ada", "next", "/contacts")
	require.Contains(t, b.get("/2fa/status").Body, "waiting")
	b.get(h.mailed())
	b.post("/2fa/link", "token", tokenOf(h.mailed()))
	require.Contains(t, b.get("/2fa/status").Body, "done")
	require.Contains(t, b.follow(b.get("/contacts")).Body, "Your account requires two-factor authentication", "the waiting tab ends in the enrollment")
	h.clock.pass(3 * time.Hour)
	require.Contains(t, b.get("/2fa/status").Body, "over")
}

// A login in another tab replaces part of the browser's cookie, but not the
// secret on which the form token depends.
func TestForms_SurviveLoginInAnotherTab(t *testing.T) {
	h := newHost(t, twofa.Policy{Remember: 30 * 24 * time.Hour})
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.get("/2fa/")
	open, before := b.csrf, b.cookie("__Host-twofa-browser")
	b.enter("ada", phone, "remember", "yes")
	b.login("ada")
	require.NotEqual(t, before, b.cookie("__Host-twofa-browser"))
	b.csrf = open
	require.Equal(t, 303, b.post("/2fa/browsers/forget-all").StatusCode)
}

// An attacker who has the password does not learn which factors the user has.
func TestVerify_DoesNotTellWhichFactorsExist(t *testing.T) {
	answers := map[bool]answer{}
	for _, phone := range []bool{true, false} {
		h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}})
		b := h.browser()
		b.enroll("ada")
		if phone {
			b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
			b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code()))
		}
		h.clock.pass(time.Hour)
		c := h.browser()
		c.login("ada")
		answers[phone] = c.post("/2fa/verify", "method", "sms", "code", "000000")
	}
	require.Equal(t, 403, answers[true].StatusCode)
	require.Equal(t, answers[true].StatusCode, answers[false].StatusCode)
	require.Equal(t, answers[true].Body, answers[false].Body)
}

// The way back survives however long the address is that browsers really send,
// as those of SAML requests.
func TestFlow_LongWayBack(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	phone, _ := h.browser().enroll("ada")
	for _, n := range []int{0, 400, 600, 690} {
		next := `/contacts?"a",b;~t~&SAMLRequest=` + strings.Repeat("a%2B", n)
		b := h.browser()
		b.login("ada", "next", next)
		b.get("/2fa/challenge")
		a := b.post("/2fa/verify", "method", "totp", "code", phone.next())
		require.Equal(t, next, a.Header.Get("Location"))
		require.Empty(t, b.cookie("__Host-twofa-challenge-next"))
	}
}

// Only the next page and the sentence about a message that was not sent are read
// from the part of the cookie that is not sealed.
func TestFlow_UnsealedValuesDecideNothing(t *testing.T) {
	edit := func(b *browser, name, pairs string) {
		require.NotEmpty(t, b.cookie(name))
		b.setCookie(name, pairs+"&"+b.cookie(name))
	}
	t.Run("days of another account", func(t *testing.T) {
		h := newHost(t, twofa.PolicyOptional())
		require.NoError(t, h.m.Account(twofa.AsHost("test"), "beta").SetPolicy(t.Context(), twofa.Policy{Remember: 30 * 24 * time.Hour}, ""))
		phone, _ := h.browser().enroll("ada")
		h.clock.pass(time.Minute)
		b := h.browser()
		require.Contains(t, b.login("ada", "account", "beta").Body, "for 30 days")
		b = h.browser()
		require.NotContains(t, b.login("ada").Body, "30 days")
		edit(b, "__Host-twofa-challenge", "a=beta")
		require.NotContains(t, b.get("/2fa/challenge").Body, "30 days")
		require.Equal(t, 303, b.post("/2fa/verify", "method", "totp", "code", phone.next()).StatusCode)
	})
	t.Run("messages", func(t *testing.T) {
		h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Required: true}, noMail,
			func(_ *twofa.Config, c *twofahttp.Config) { c.SendsPerHour = 1 })
		b := h.browser()
		b.login("ada")
		b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
		require.Equal(t, 1, h.outbox.sentTexts())
		page := b.follow(b.post("/2fa/setup", "method", "totp"))
		page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
		edit(b, "__Host-twofa-setup", "s=sms")
		require.Equal(t, 303, b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code()).StatusCode)
		require.True(t, b.signedIn())
		c := h.browser()
		c.login("bob")
		c.follow(c.post("/2fa/setup", "method", "sms", "phone", "+41791234568"))
		require.Equal(t, 1, h.outbox.sentTexts(), "the code of an app gives back no message")
	})
	t.Run("another kind", func(t *testing.T) {
		h := newHost(t, twofa.PolicyOptional())
		b, _, _ := h.pending("ada")
		edit(b, "__Host-twofa-challenge", "k=action&t=contacts.export")
		require.NotContains(t, b.get("/2fa/challenge").Body, "Export contacts")
	})
}

// A long address of an earlier login is not where a later one ends.
func TestFlow_LongWayBackOfAnEarlierLogin(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	phone, _ := h.browser().enroll("ada")
	b := h.browser()
	b.login("ada", "next", "/contacts?q="+strings.Repeat("a", 2500))
	require.NotEmpty(t, b.cookie("__Host-twofa-challenge-next"))
	b.login("ada")
	require.Empty(t, b.cookie("__Host-twofa-challenge-next"))
	require.Equal(t, "/", b.post("/2fa/verify", "method", "totp", "code", phone.next()).Header.Get("Location"))
}

// nginx drops an answer whose headers are longer than 4 KB, unless
// proxy_buffer_size is set. Addresses of SAML requests have more than 2 KB.
func TestFlow_AnswerFitsIntoTheBufferOfAProxy(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	h.browser().enroll("ada")
	a := h.browser().post("/login", "user", "ada", "next", "/contacts?SAMLRequest="+strings.Repeat("a%2B", 600))
	var headers strings.Builder
	require.NoError(t, a.Header.Write(&headers))
	require.Contains(t, headers.String(), "__Host-twofa-challenge-next")
	require.Less(t, headers.Len(), 4000)
}
