package twofahttp

import (
	"net/http"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
)

// message is a row of the table of everything that this package reports to
// users: on a page of its own, as an alert on another page, and in JSON. Its
// words are in package locale: the title says what happened, and the text what
// that means and what to do.
type message struct {
	Code   string       // stable name; part of JSON answers
	Method twofa.Method // method that the words are for; empty for all that have no row of their own
	Status int          // HTTP status; a success has 200
	Next   next         // what the page "message" or "done" offers
	Field  string       // name of the input that must be corrected; empty if none
}

// next is what the user can do after a message that has a page of its own. It
// names a button of parts.html.
type next string

const (
	nextRetry     next = "retry"     // back to the page with the form
	nextRestart   next = "restart"   // start again
	nextHome      next = "home"      // the host's start page
	nextLogin     next = "login"     // the host's login page
	nextSignIn    next = "signin"    // sign out, then the host's login page
	nextSetUp     next = "setup"     // enroll a factor
	nextChallenge next = "challenge" // the page that asks for a proof
	nextBack      next = "back"      // the page with the button for an action
	nextContinue  next = "continue"  // where the user wanted to go
)

// good reports whether the message is about a success.
func (m message) good() bool { return m.Status < http.StatusBadRequest }

// id names the row, for example "invalid_code.totp".
func (m message) id() string {
	if m.Method == "" {
		return m.Code
	}
	return m.Code + "." + string(m.Method)
}

// messages is the only list of what users can be told. docs/pages.md contains a
// copy with the English words.
var messages = []message{
	// Codes and links.
	{"invalid_code", "", 422, nextRetry, "code"},
	{"invalid_code", twofa.TOTP, 422, nextRetry, "code"},
	{"invalid_code", twofa.SMS, 422, nextRetry, "code"},
	{"invalid_code", twofa.EmailLink, 422, nextRetry, "code"},
	{"invalid_code", twofa.RecoveryCode, 422, nextRetry, "code"},
	{"invalid_link", "", 422, nextChallenge, ""},
	{"malformed_code", "", 422, nextRetry, "code"},
	{"malformed_code", twofa.TOTP, 422, nextRetry, "code"},
	{"malformed_code", twofa.SMS, 422, nextRetry, "code"},
	{"malformed_code", twofa.EmailLink, 422, nextRetry, "code"},
	{"malformed_code", twofa.RecoveryCode, 422, nextRetry, "code"},
	{"locked", "", 429, nextRetry, ""},
	{"locked", twofa.TOTP, 429, nextRetry, ""},
	{"locked", twofa.SMS, 429, nextRetry, ""},
	{"locked", twofa.EmailLink, 429, nextRetry, ""},
	{"locked", twofa.RecoveryCode, 429, nextRetry, ""},
	{"method_off", "", 429, nextRetry, ""},
	{"method_off", twofa.EmailLink, 429, nextRetry, ""},
	{"limited", "", 429, nextRetry, ""},

	// Links and codes that are sent.
	{"too_soon", "", 429, nextRetry, ""},
	{"too_soon", twofa.EmailLink, 429, nextRetry, ""},
	{"too_soon", twofa.SMS, 429, nextRetry, ""},
	{"not_sent", "", 429, nextRetry, ""},
	{"not_sent", twofa.EmailLink, 429, nextRetry, ""},
	{"not_sent", twofa.SMS, 429, nextRetry, ""},
	{"send_failed", "", 503, nextRetry, ""},
	{"send_failed", twofa.EmailLink, 503, nextRetry, ""},
	{"send_failed", twofa.SMS, 503, nextRetry, ""},
	{"send_paused", "", 429, nextRetry, ""},
	{"send_paused", twofa.EmailLink, 429, nextRetry, ""},
	{"send_paused", twofa.SMS, 429, nextRetry, ""},
	{"messages_limited", "", 429, nextRetry, ""},
	{"undeliverable", "", 422, nextRetry, ""},
	{"undeliverable", twofa.EmailLink, 422, nextRetry, ""},
	{"undeliverable", twofa.SMS, 422, nextRetry, "phone"},

	// Enrollment and settings.
	{"phone_refused", "", 422, nextRetry, "phone"},
	{"assigned_changed", "", 409, nextRetry, ""},
	{"enrollment_over", "", 422, nextSetUp, ""},
	{"enrollment_over", twofa.TOTP, 422, nextSetUp, ""},
	{"enrollment_over", twofa.SMS, 422, nextSetUp, ""},
	{"not_saved", "", 422, nextRetry, "saved"},
	{"not_enrolled", "", 404, nextHome, ""},
	{"not_allowed", "", 403, nextHome, ""},

	// Pages of admins.
	{"members_unavailable", "", 503, nextRetry, ""},
	{"activity_unavailable", "", 503, nextRetry, ""},
	{"invalid_from", "", 422, nextRetry, "from"},
	{"invalid_to", "", 422, nextRetry, "to"},
	{"several_users", "", 422, nextRetry, "user"},
	{"several_actors", "", 422, nextRetry, "actor"},
	{"until_refused", "", 422, nextRetry, "until"},
	{"until_early", "", 422, nextRetry, "until"},
	{"reason_refused", "", 422, nextRetry, "reason"},
	{"unlocks_used", "", 429, nextBack, ""},
	{"not_unlocked", "", 409, nextBack, ""},
	// Policy.
	{"invalid_requirement", "", 422, nextRetry, "require"},
	{"invalid_sso", "", 422, nextRetry, "sso"},
	{"invalid_deadline", "", 422, nextRetry, "deadline"},
	{"invalid_grace", "", 422, nextRetry, "grace"},
	{"invalid_remember", "", 422, nextRetry, "remember"},
	{"invalid_turn_off", "", 422, nextRetry, "turn_off"},
	{"invalid_weaken", "", 422, nextRetry, "weaken"},
	{"invalid_reset_by", "", 422, nextRetry, "reset_by"},
	{"invalid_rule", "", 422, nextRetry, "rule"},
	{"invalid_reason", "", 422, nextRetry, "reason"},
	{"preview_again", "", 409, nextRetry, ""},
	{"policy_changed", "", 409, nextRetry, ""},
	{"weaker_policy", "", 403, nextBack, ""},

	// Support cases.
	{"case_over", "", 410, nextHome, ""},
	{"case_sign_in", "", 401, nextSignIn, ""},

	// Sessions.
	{"already_done", "", 409, nextBack, ""},
	{"expired", "", 410, nextRestart, ""},
	{"signed_out", "", 401, nextLogin, ""},
	{"session_unreadable", "", 401, nextSignIn, ""},
	{"first_factor_expired", "", 401, nextSignIn, ""},
	{"second_factor_required", "", 401, nextChallenge, ""},
	{"sign_in_here", "", 401, nextLogin, ""},
	{"own_sign_in_required", "", 401, nextLogin, ""},
	{"support_required", "", 403, nextHome, ""},
	{"mfa_enrollment_required", "", 403, nextSetUp, ""},
	{"role_too_low", "", 403, nextHome, ""},
	{"not_yourself", "", 403, nextHome, ""},
	{"only_support_resets", "", 403, nextHome, ""},
	{"only_support_unlocks", "", 403, nextHome, ""},
	{"reset_recently", "", 403, nextHome, ""},
	{"proof_missing", "", 401, nextRetry, ""},
	{"proof_expired", "", 401, nextRetry, ""},

	// Successes.
	{"set_up", "", 200, nextContinue, ""},
	{"added", "", 200, nextContinue, ""},
	{"replaced", "", 200, nextContinue, ""},
	{"replaced", twofa.SMS, 200, nextContinue, ""},
	{"codes_saved", "", 200, nextContinue, ""},
	{"renamed", "", 200, nextContinue, ""},
	{"removed", "", 200, nextContinue, ""},
	{"turned_off", "", 200, nextContinue, ""},
	{"forgotten", "", 200, nextContinue, ""},
	{"all_forgotten", "", 200, nextContinue, ""},
	{"signed_out_everywhere", "", 200, nextLogin, ""},
	{"time_given", "", 200, nextContinue, ""},
	{"time_ended", "", 200, nextContinue, ""},
	{"member_unlocked", "", 200, nextContinue, ""},
	{"member_reset", "", 200, nextContinue, ""},
	{"policy_saved", "", 200, nextContinue, ""},
	{"case_stopped", "", 200, nextContinue, ""},
	{"case_confirmed", "", 200, nextContinue, ""},
	{"lost_reported", "", 200, nextContinue, ""},

	// Requests.
	{"other_browser", "", 403, nextHome, ""},
	{"form_expired", "", 403, nextRetry, ""},
	{"cookies_blocked", "", 403, nextRetry, ""},
	{"cross_site", "", 403, nextHome, ""},
	{"method", "", 405, nextHome, ""},
	{"post_only", "", 405, nextHome, ""},
	{"media_type", "", 415, nextHome, ""},
	{"bad_form", "", 400, nextHome, ""},
	{"too_large", "", 413, nextHome, ""},
	{"not_found", "", 404, nextHome, ""},
	{"invalid", "", 422, nextRetry, ""},
	{"changed", "", 409, nextBack, ""},
	{"unavailable", "", 503, nextRetry, ""},
	{"misplaced", "", 500, nextHome, ""},
	{"internal", "", 500, nextRetry, ""},
}

// messagesByID contains the rows by [message.id].
var messagesByID = func() map[string]message {
	rows := map[string]message{}
	for _, m := range messages {
		rows[m.id()] = m
	}
	return rows
}()

// messageOf returns the row for a code and a method. The result for an unknown
// code is the row "internal".
func messageOf(code string, method twofa.Method) message {
	for _, id := range []string{message{Code: code, Method: method}.id(), code} {
		if m, ok := messagesByID[id]; ok {
			return m
		}
	}
	return messagesByID["internal"]
}

// title returns what happened, as a heading without a period. After the last wrong
// code, that is the lock.
func (p problem) title(c *locale.Catalog) string {
	if p.locks() {
		return messageOf("locked", p.Method).title(c)
	}
	return p.message.title(c)
}

// locks reports whether the code was the last wrong one, so that the method is
// locked or off.
func (p problem) locks() bool { return p.Code == "invalid_code" && p.Counted && p.Left <= 0 }

// title returns what happened, as a heading without a period.
func (m message) title(c *locale.Catalog) string { return c.Text("message."+m.id()+".title", nil) }

// text returns what the message means and what to do, with what is known about
// this occurrence.
func (p problem) text(c *locale.Catalog, issuer, action string) string {
	id := "message." + p.id() + ".text"
	if named := "message." + p.id() + ".action.text"; action != "" && c.Has(named) {
		id = named
	}
	args := locale.Args{"in": c.In(p.Wait), "issuer": issuer, "action": action, "detail": p.Detail, "date": c.Date(p.Date.UTC())}
	if p.Denied != nil {
		args["duration"] = c.Duration(p.Denied.MaxAge)
	}
	text := c.Text(id, args)
	if p.Code != "invalid_code" {
		return text
	}
	switch {
	case p.Clock != 0:
		id := "clock.ahead"
		if p.Clock < 0 {
			id = "clock.behind"
		}
		text = c.Text(id, locale.Args{"duration": c.Duration(max(p.Clock, -p.Clock))})
	case p.locks():
		return p.triesLeft(c)
	}
	return sentences(c, text, p.triesLeft(c))
}

// sentences joins two sentences as the language does. Japanese has no space
// between them. The second one may be empty.
func sentences(c *locale.Catalog, first, second string) string {
	if second == "" {
		return first
	}
	return c.Text("sentences", locale.Args{"first": first, "second": second})
}

// triesLeft returns the sentence about how many wrong codes are left.
func (p problem) triesLeft(c *locale.Catalog) string {
	switch {
	case !p.Counted:
		return ""
	case p.Left > 0:
		return c.Text("tries.left", locale.Args{"count": p.Left})
	case p.Wait > 0 && p.Method == twofa.EmailLink: // the link still works
		return c.Text("message.locked.email.text", locale.Args{"in": c.In(p.Wait)})
	case p.Wait > 0:
		return c.Text("tries.wait", locale.Args{"in": c.In(p.Wait)})
	}
	return c.Text("message."+messageOf("method_off", p.Method).id()+".text", nil)
}
