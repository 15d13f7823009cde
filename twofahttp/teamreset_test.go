package twofahttp_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/es"
	"github.com/twofa-go/twofa/locale/fr"
	"github.com/twofa-go/twofa/locale/ja"
	"github.com/twofa-go/twofa/locale/ptbr"
	"github.com/twofa-go/twofa/twofahttp"
)

// The page says what a reset means before its button. A form without a reason keeps
// the page and asks for no code.
func TestReset_PageAndFaults(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.in("mia")
	require.Contains(t, b.get("/2fa/team/member?id=mia").Body, `href="/2fa/team/reset?id=mia"`)
	page := b.get("/2fa/team/reset?id=mia").Body
	for _, id := range []string{"page.reset.when", "page.reset.verify.text", "page.reset.removed", "page.reset.sessions", "page.reset.told.member", "page.reset.again", "page.reset.code"} {
		require.Contains(t, page, english(id))
	}
	require.NotContains(t, page, english("page.reset.told"), "the directory of this host lists no admins")
	require.Contains(t, page, "for Mia?")
	written := o.store.writes()
	for _, reason := range []string{"", " \u202e ", strings.Repeat("x", 501)} {
		failed := b.reset("mia", "reason", reason)
		says(t, failed, "reason_refused", "")
		require.Contains(t, failed.Body, `aria-describedby="reason-hint alert" aria-invalid="true"`)
		require.Equal(t, 1, strings.Count(failed.Body, `id="alert"`))
		require.Contains(t, failed.Body, reason+"</textarea>")
	}
	require.Equal(t, written, o.store.writes())

	o.store.broken(twofa.ErrUnavailable, false)
	require.Equal(t, 503, b.reset("mia").StatusCode)
}

type adminList struct{ *office }

func (adminList) Admins(context.Context, string) ([]string, error) {
	return []string{"olga", "anna"}, nil
}

func TestReset_SaysThatAdminsAreTold(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) { c.Directory = adminList{c.Directory.(*office)} })
	b, phone := o.in("adam")
	o.in("mia")
	require.Contains(t, b.get("/2fa/team/reset?id=mia").Body, english("page.reset.told"))
	mails := len(o.outbox.mails)
	b.resets("mia", phone)
	told := map[string]bool{}
	for _, mail := range o.outbox.mails[mails:] {
		told[mail.To] = true
	}
	require.Equal(t, map[string]bool{"mia@example.com": true, "olga@example.com": true, "anna@example.com": true}, told)
}

// A member without a factor has nothing to reset, and a record that cannot be read
// is for support, with its address.
func TestReset_WithoutButton(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) { c.SupportURL = "mailto:help@example.com" })
	b, _ := o.in("adam")
	require.NoError(t, o.store.Swap(t.Context(), "", twofa.Record{Key: "user/max", Version: "1", Data: []byte("not ours")}))
	for _, path := range []string{"/2fa/team/member?id=", "/2fa/team/reset?id="} {
		require.Contains(t, b.get(path+"mia").Body, english("page.reset.none"))
		page := b.get(path + "max").Body
		require.Contains(t, page, english("page.reset.support"))
		require.Contains(t, page, `<a class="btn" href="mailto:help@example.com"><span>`+english("page.common.support", "issuer", templateBDI("Acme"))+"</span></a>")
		require.NotContains(t, page, `action="/2fa/team/reset"`)
	}
	o.in("anna")
	o.join("anna", "beta", "")
	olga, _ := o.in("olga")
	require.Contains(t, olga.reset("anna").Body, `href="mailto:help@example.com"`, "the page of a refusal leads to support as well")
}

// An admin unlocks a locked method with a reason, and the member is told. In a
// browser that is not known, the right code then works.
func TestUnlock_Button(t *testing.T) {
	w := newWard(t)
	b, phone := w.in("adam")
	_, own := w.in("mia")
	require.NotContains(t, b.get("/2fa/team/member?id=mia").Body, "/2fa/team/unlock", "nothing is locked")
	w.lockOut("mia", own)
	page := b.get("/2fa/team/member?id=mia").Body
	require.Contains(t, page, english("page.member.unlock.totp"))
	require.NotContains(t, page, english("page.member.unlock.sms"))
	require.Contains(t, page, english("page.member.lock.until", "date", "1 March 2026, 09:01 UTC"))
	failed := b.unlock("mia", "reason", "")
	says(t, failed, "reason_refused", "")
	require.Contains(t, failed.Body, `aria-describedby="unlock-reason-hint alert" aria-invalid="true"`)
	require.Equal(t, 1, strings.Count(failed.Body, `id="alert"`), "not at the other form")
	for _, method := range []string{"", "email", "recovery", "other"} {
		says(t, b.unlock("mia", "method", method), "bad_form", "")
	}
	w.clock.pass(time.Hour)
	w.lockOut("mia", own)
	mails := len(w.outbox.mails)
	waiting := tab{b, b.unlock("mia")}
	require.Equal(t, 401, waiting.page.StatusCode)
	w.clock.pass(-30 * time.Second) // the code of the next step is accepted
	done := b.follow(waiting.prove(phone.next()).submit())
	require.Contains(t, done.Body, english("message.member_unlocked.title"))
	require.Equal(t, 1, w.count(event.Unlocked))
	require.Equal(t, "mia@example.com", w.outbox.mails[mails].To)
	again := w.browser()
	again.login("mia", "account", "acme")
	again.prove(own)
	require.True(t, again.signedIn())
}

// After three times, and after 100 wrong codes in a row, the page says that a reset
// helps instead.
func TestUnlock_Limits(t *testing.T) {
	w := newWard(t)
	b, phone := w.in("adam")
	_, own := w.in("mia")
	host := w.m.Account(twofa.AsHost("test"), "acme")
	for range 3 {
		w.lockOut("mia", own)
		require.NoError(t, host.Unlock(t.Context(), "mia", twofa.TOTP))
		w.clock.pass(time.Minute)
	}
	w.lockOut("mia", own)
	page := b.unlock("mia")
	says(t, page, "unlocks_used", "")
	require.NotEmpty(t, page.Header.Get("Retry-After"))
	require.Contains(t, page.Body, `href="/2fa/team/reset?id=mia"`)

	for {
		f := w.status("mia").Factors[0]
		if f.Locked && f.LockedUntil.IsZero() {
			break
		}
		if f.Locked {
			w.clock.pass(f.LockedUntil.Sub(w.clock.now()) + time.Second)
		}
		attacker := w.browser()
		attacker.login("mia", "account", "acme")
		attacker.post("/2fa/verify", "method", "totp", "code", own.wrong())
	}
	b = w.browser()
	b.login("adam", "account", "acme")
	b.prove(phone)
	page = b.get("/2fa/team/member?id=mia")
	require.Contains(t, page.Body, english("page.member.lock.off"))
	require.NotContains(t, page.Body, `action="/2fa/team/unlock"`)
	says(t, b.unlock("mia"), "not_unlocked", "")
}

// A reported loss and a support case are on the page of the member, in the list, in
// two filters and in the file.
func TestTeam_LostAndCase(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) {
		c.Mail.CaseURL = twofahttp.CaseURL("https://app.example.com/2fa/")
	})
	b, _ := o.in("adam")
	o.in("mia")
	o.in("max")
	login, err := o.m.Begin(t.Context(), twofa.FirstFactor{UserID: "mia", Account: "acme", By: twofa.ByPassword})
	require.NoError(t, err)
	require.NoError(t, o.m.ReportLost(t.Context(), twofa.Client{}, login.Challenge))
	_, err = o.m.User(twofa.AsStaff("sam", "called"), "max").OpenCase(t.Context(), twofa.ResetRequest{})
	require.NoError(t, err)

	on := english("page.member.lost", "date", "1 March 2026, 09:00 UTC")
	require.Equal(t, on, facts(b.get("/2fa/team/member?id=mia").Body)[english("page.team.state.lost")])
	asked := english("page.member.case", "date", "1 March 2026, 09:00 UTC")
	require.Equal(t, asked, facts(b.get("/2fa/team/member?id=max").Body)[english("page.team.state.case")])
	members, _ := rows(b.get("/2fa/team").Body)
	require.Contains(t, members["Mia"], english("page.team.state.lost"))
	require.Contains(t, members["Max"], english("page.team.state.case"))
	require.NotContains(t, members["Anna"], english("page.team.state.case"))
	for filter, want := range map[string][]string{"attention": {"Mia", "Max"}, "lost": {"Mia"}, "case": {"Max"}} {
		_, labels := rows(b.get("/2fa/team?state=" + filter).Body)
		require.Equal(t, want, labels, filter)
		require.Len(t, table(t, b.get("/2fa/team.csv?state="+filter)), len(want))
	}
	for _, row := range table(t, b.get("/2fa/team.csv?state=attention")) {
		require.Equal(t, map[string][]string{"Mia": {"2026-03-01T09:00:10Z", ""}, "Max": {"", "2026-03-01T09:00:10Z"}}[row[0]], row[9:], row[0])
	}
	require.Contains(t, b.api("GET", "/2fa/team/counts?q=").Body, `"lost":1`)
	require.Contains(t, b.api("GET", "/2fa/team/counts?q=").Body, `"case":1`)
}

// The page of a reset exists in each language.
func TestReset_Languages(t *testing.T) {
	languages := []*locale.Catalog{locale.English(), de.Catalog(), es.Catalog(), fr.Catalog(), ja.Catalog(), ptbr.Catalog()}
	o := newOffice(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) { c.Languages = languages })
	b, _ := o.in("adam")
	o.in("mia")
	for _, c := range languages {
		b.header.Set("Accept-Language", c.Tag())
		page := b.get("/2fa/team/reset?id=mia").Body
		require.Contains(t, page, string(c.HTML("page.reset.verify.text", nil)), c.Tag())
		require.NotContains(t, page, "page.reset.")
	}
}
