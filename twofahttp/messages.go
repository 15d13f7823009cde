package twofahttp

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// message is a row of the table of everything that this package reports to
// users: on a page of its own, as an alert on another page, and in JSON.
type message struct {
	Code   string       // stable name; part of JSON answers
	Method twofa.Method // method that the words are for; empty for all that have no row of their own
	Status int          // HTTP status; a success has 200
	Next   next         // what the page "message" or "done" offers
	Field  string       // name of the input that must be corrected; empty if none
	Title  string       // what happened, as a heading without a period
	Text   string       // what that means, and what to do
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

const (
	notCounted = " This try was not counted."
	lockedText = "Try again in {{.Wait}}. Until then no code is accepted, not even a correct one."
	wrongCode  = "That code did not work"
	notACode   = "That is not a complete code"
	nothing    = "Nothing was sent just now"
	unreadable = "This form could not be read"
)

// messages is the only list of what users can be told. docs/pages.md contains a
// copy. A placeholder such as {{.Wait}} is replaced by the value in
// [problem.fill].
var messages = []message{
	// Codes and links.
	{"invalid_code", "", 422, nextRetry, "code", wrongCode, "Check it and type it again."},
	{"invalid_code", twofa.TOTP, 422, nextRetry, "code", wrongCode, "Check the code in your authenticator app and type it again. If you have just used this code, wait for the next one."},
	{"invalid_code", twofa.SMS, 422, nextRetry, "code", wrongCode, "Type the code from our newest text message. Older ones no longer work, and each works once."},
	{"invalid_code", twofa.RecoveryCode, 422, nextRetry, "code", wrongCode, "Compare it with the codes that you saved. Each of them works once, so use one that you have not used before."},
	{"invalid_link", "", 422, nextChallenge, "", "This link is no longer valid", "It was used, it has expired, or a newer one was sent. Open the newest email, or ask for a new link."},
	{"malformed_code", "", 422, nextRetry, "code", notACode, "Type all of it, as it is shown to you." + notCounted},
	{"malformed_code", twofa.TOTP, 422, nextRetry, "code", notACode, "A code in an authenticator app has only digits, usually six. Type all of them." + notCounted},
	{"malformed_code", twofa.SMS, 422, nextRetry, "code", notACode, "The code in our text message has six digits. Type all of them." + notCounted},
	{"malformed_code", twofa.RecoveryCode, 422, nextRetry, "code", notACode, "A recovery code has 24 letters and digits, such as XXXX-XXXX-XXXX-XXXX-XXXX-XXXX. Type all of them; you can leave out the dashes." + notCounted},
	{"locked", "", 429, nextRetry, "", "Too many attempts", "Try again in {{.Wait}}."},
	{"locked", twofa.TOTP, 429, nextRetry, "", "Too many attempts", lockedText},
	{"locked", twofa.SMS, 429, nextRetry, "", "Too many attempts", lockedText},
	{"locked", twofa.RecoveryCode, 429, nextRetry, "", "Too many attempts", lockedText},
	{"method_off", "", 429, nextRetry, "", "Too many attempts", "This method is now switched off in this browser. Use another method, or a browser in which you have signed in before."},
	{"limited", "", 429, nextRetry, "", "Too many attempts from your network", "Try again in {{.Wait}}."},

	// Links and codes that are sent.
	{"too_soon", "", 429, nextRetry, "", nothing, "We can send the next message in {{.Wait}}. The one before may still arrive."},
	{"too_soon", twofa.EmailLink, 429, nextRetry, "", nothing, "We can send the next link in {{.Wait}}. The one before may still arrive, so check your spam folder."},
	{"too_soon", twofa.SMS, 429, nextRetry, "", nothing, "We can text the next code in {{.Wait}}. The one before may still arrive."},
	{"not_sent", "", 429, nextRetry, "", nothing, "We can send a message in {{.Wait}}. What was sent for an earlier sign-in does not work here."},
	{"not_sent", twofa.EmailLink, 429, nextRetry, "", nothing, "We can send a link in {{.Wait}}. A link from an earlier sign-in does not work here."},
	{"not_sent", twofa.SMS, 429, nextRetry, "", nothing, "We can text a code in {{.Wait}}. A code from an earlier sign-in does not work here."},
	{"send_failed", "", 503, nextRetry, "", "We could not send the message", "The problem is on our side, and you did nothing wrong. Try again now."},
	{"send_failed", twofa.EmailLink, 503, nextRetry, "", "We could not send the link", "The problem is on our side, and you did nothing wrong. Try again now."},
	{"send_failed", twofa.SMS, 503, nextRetry, "", "We could not text the code", "The problem is on our side, and you did nothing wrong. Try again now."},
	{"send_paused", "", 429, nextRetry, "", nothing, "Our last attempt to send a message failed. It counts toward the limit on messages even so, and we can try again in {{.Wait}}. You did nothing wrong."},
	{"send_paused", twofa.EmailLink, 429, nextRetry, "", nothing, "Our last attempt to send a link failed. It counts toward the limit on emails even so, and we can try again in {{.Wait}}. You did nothing wrong."},
	{"send_paused", twofa.SMS, 429, nextRetry, "", nothing, "Our last attempt to text a code failed. It counts toward the limit on text messages even so, and we can try again in {{.Wait}}. You did nothing wrong."},
	{"messages_limited", "", 429, nextRetry, "", nothing, "Too many messages were requested from your network. Try again in {{.Wait}}, or use another method."},
	{"undeliverable", "", 422, nextRetry, "", "Nothing was sent", "The phone number or email address cannot receive our messages. Check that it is right, then try again."},
	{"undeliverable", twofa.EmailLink, 422, nextRetry, "", "Nothing was sent", "Your email address cannot receive our messages. Check that your mailbox works, then try again."},
	{"undeliverable", twofa.SMS, 422, nextRetry, "phone", "Nothing was sent", "The phone number cannot receive our messages. Check that it is right, or use another one."},

	// Enrollment and settings.
	{"phone_refused", "", 422, nextRetry, "phone", "We cannot text this number", "Check it and its country code. It must be a mobile number in a country to which {{.Issuer}} sends text messages."},
	{"enrollment_over", "", 422, nextSetUp, "", "Too many wrong codes", "Nothing has changed. Start again."},
	{"enrollment_over", twofa.TOTP, 422, nextSetUp, "", "Too many wrong codes", "Nothing has changed. Start again with a new QR code."},
	{"enrollment_over", twofa.SMS, 422, nextSetUp, "", "Too many wrong codes", "Nothing has changed. Start again with your phone number."},
	{"not_saved", "", 422, nextRetry, "saved", "Save your codes first", "Download, print or copy them, then tick the box."},
	{"not_enrolled", "", 404, nextHome, "", "Not found", "It no longer exists, or it is not yours."},
	{"not_allowed", "", 403, nextHome, "", "This is not allowed", "The rules of your account, or a limit, do not allow this. If you need it, ask an admin of your account."},

	// Sessions.
	{"already_done", "", 409, nextBack, "", "This is already done", "It was sent twice within a few seconds and done once. If you miss the result, go back and start again."},
	{"expired", "", 410, nextRestart, "", "This is already done, or took too long", "For your security, this must be finished within a few minutes, in one browser, and works only once. Nothing else is lost."},
	{"signed_out", "", 401, nextLogin, "", "Sign in first", "You are not signed in, or your session has ended. Nothing was changed."},
	{"session_unreadable", "", 401, nextSignIn, "", "Sign in again", "We are updating our service and cannot read your session at the moment. Sign in again, and you come back here."},
	{"first_factor_expired", "", 401, nextSignIn, "", "Sign in again", "To set up your first second factor, you must have signed in within the last 15 minutes. Sign in again, and you come back here."},
	{"second_factor_required", "", 401, nextChallenge, "", "Sign in first", "You have not finished signing in. Nothing was changed."},
	{"sign_in_here", "", 401, nextLogin, "", "Sign in to this account", "You are signed in, but this account does not accept the way you signed in. Sign in with your password or through this account’s own single sign-on. You stay signed in to your other accounts."},
	{"own_sign_in_required", "", 401, nextLogin, "", "Sign in with your password", "To change your password or address, sign in with your password or with a link to your own address. You signed in through an account’s single sign-on, which other people manage. Nothing was changed."},
	{"support_required", "", 403, nextHome, "", "Contact support", "This account requires two-factor authentication, and we must email you a link before you can set it up. We have no email address for you, or cannot use it. Ask support for help."},
	{"mfa_enrollment_required", "", 403, nextSetUp, "", "Set up a second factor first", "{{.Action}} needs a fresh code, and you have not set up anything that gives one. It takes two minutes."},
	{"role_too_low", "", 403, nextHome, "", "Only an admin can do this", "Your role in this account does not allow it, or the member has a role that is as high as yours. Ask an owner of your account."},
	{"not_yourself", "", 403, nextHome, "", "You cannot do this to yourself", "Ask another admin of your account."},
	{"proof_missing", "", 401, nextRetry, "", "A fresh code is required", "{{.Action}} needs a fresh code. Nothing was changed."},
	{"proof_expired", "", 401, nextRetry, "", "A fresh code is required", "{{.Action}} needs a fresh code, and your last one is too old. Nothing was changed."},

	// Successes.
	{"set_up", "", 200, nextContinue, "", "Two-factor authentication is on", "You’ll be asked for a code the next time you sign in."},
	{"added", "", 200, nextContinue, "", "New method added", "You can use it the next time you sign in."},
	{"replaced", "", 200, nextContinue, "", "Method replaced", "The new one is ready, and the old one no longer works."},
	{"codes_saved", "", 200, nextContinue, "", "Your recovery codes are saved", "Older ones no longer work."},
	{"renamed", "", 200, nextContinue, "", "Name changed", "The new name is saved."},
	{"removed", "", 200, nextContinue, "", "Method removed", "It no longer works, and your other sessions are signed out."},
	{"forgotten", "", 200, nextContinue, "", "Browser forgotten", "You’ll be asked for a code there the next time you sign in."},
	{"all_forgotten", "", 200, nextContinue, "", "All browsers forgotten", "You’ll be asked for a code in each of them the next time you sign in."},
	{"signed_out_everywhere", "", 200, nextLogin, "", "You are signed out everywhere", "All your sessions have ended, and no browser is remembered. If someone may know your password, sign in and change it."},

	// Requests.
	{"other_browser", "", 403, nextHome, "", "Open the link in the other browser", "The link works only in the browser in which you typed your password. It was not used up: paste it into the address bar there."},
	{"form_expired", "", 403, nextRetry, "", "Please try again", "The page you came from was out of date, and nothing was changed. Reload it, and try again. Cookies must be allowed."},
	{"cookies_blocked", "", 403, nextRetry, "", "Your browser does not accept cookies from this site", "To sign in and to change your settings, {{.Issuer}} needs cookies, and your browser did not send ours back. Nothing was changed. Allow cookies for this site in the settings of your browser, turn off extensions that block them, or use another browser. Then try again."},
	{"cross_site", "", 403, nextHome, "", "This came from another site", "Another site tried to send this in your name. Nothing was changed."},
	{"method", "", 405, nextHome, "", "Use the button on the page", "This address works only if it is called by its button. Go back to the page with the button and press it."},
	{"post_only", "", 405, nextHome, "", "Use the button on the page", "This address works only if it is called by its button. Go back to the page with the button and press it."},
	{"media_type", "", 415, nextHome, "", unreadable, "Nothing was changed. Go back, reload the page, and try again."},
	{"bad_form", "", 400, nextHome, "", unreadable, "Nothing was changed. Go back, reload the page, and try again."},
	{"too_large", "", 413, nextHome, "", unreadable, "Nothing was changed. Go back, reload the page, and try again."},
	{"not_found", "", 404, nextHome, "", "Not found", "There is nothing here, or it is not yours."},
	{"invalid", "", 422, nextRetry, "", "This is not valid", "Nothing was changed. Check what you typed, then try again."},
	{"changed", "", 409, nextBack, "", "Someone else has changed this", "Nothing of yours was saved. Reload the page to see the change, then try again."},
	{"unavailable", "", 503, nextRetry, "", "Not available right now", "We could not reach what we need to check that it’s you. Nothing was changed, and nothing you did is lost. Wait a moment, then try again."},
	{"misplaced", "", 500, nextHome, "", "This site is not set up correctly", "For its developers: {{.Detail}}."},
	{"internal", "", 500, nextRetry, "", "Something went wrong", "The problem is on our side, and we have logged it. Nothing was left half done. Try again, and if it happens again, tell us."},
}

// phrases are parts of sentences that are added to messages. A name that ends in
// "s" is used for all numbers except 1.
var phrases = map[string]string{
	"tries":        "You have {{.Left}} more tries.",
	"try":          "You have one more try.",
	"wait":         "You can try again in {{.Wait}}.",
	"off":          "This method is now switched off in this browser.",
	"clock_ahead":  "Your phone’s clock is about {{.Clock}} ahead. Set its date and time to automatic, then type the new code that the app shows.",
	"clock_behind": "Your phone’s clock is about {{.Clock}} behind. Set its date and time to automatic, then type the new code that the app shows.",
	"signed_in":    "You are signed in. If you have just done this, there is nothing left to do. Otherwise, start again.",
	"action":       "“{{.Action}}”",
	"this":         "This",
	"hours":        "{{.N}} hours",
	"hour":         "1 hour",
	"minutes":      "{{.N}} minutes",
	"minute":       "1 minute",
	"seconds":      "{{.N}} seconds",
	"second":       "1 second",
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

// text returns what the message means and what to do, with what is known about
// this occurrence.
func (p problem) text(issuer, action string) string {
	text := []string{p.Text}
	switch {
	case p.Code != "invalid_code":
	case p.Clock != 0:
		name := "clock_ahead"
		if p.Clock < 0 {
			name = "clock_behind"
		}
		text = []string{phrases[name], p.triesLeft()}
	case p.Counted && p.Left <= 0:
		text = []string{p.triesLeft()}
	default:
		text = append(text, p.triesLeft())
	}
	return p.fill(strings.TrimSpace(strings.Join(text, " ")), issuer, action)
}

// triesLeft returns the phrase about how many wrong codes are left.
func (p problem) triesLeft() string {
	switch {
	case !p.Counted:
		return ""
	case p.Left > 1:
		return phrases["tries"]
	case p.Left == 1:
		return phrases["try"]
	case p.Wait > 0:
		return phrases["wait"]
	}
	return phrases["off"]
}

// fill replaces the placeholders. The values are not searched for placeholders.
func (p problem) fill(text, issuer, action string) string {
	subject := phrases["this"]
	if action != "" {
		subject = strings.ReplaceAll(phrases["action"], "{{.Action}}", action)
	}
	return strings.NewReplacer("{{.Wait}}", waitOf(p.Wait).String(), "{{.Clock}}", waitOf(p.Clock).String(), "{{.Left}}", strconv.Itoa(p.Left),
		"{{.Issuer}}", issuer, "{{.Action}}", subject, "{{.Detail}}", p.Detail).Replace(text)
}

// wait is a duration in its largest convenient unit.
type wait struct{ Hours, Minutes, Seconds int }

func waitOf(d time.Duration) wait {
	switch d = max(d, -d); {
	case d > 100*time.Minute:
		return wait{Hours: int((d + time.Hour - 1) / time.Hour)}
	case d >= time.Minute:
		return wait{Minutes: int((d + time.Minute - 1) / time.Minute)}
	}
	return wait{Seconds: int((d + time.Second - 1) / time.Second)}
}

// String returns the duration in words, such as "2 minutes".
func (w wait) String() string {
	n, name := w.Seconds, "second"
	switch {
	case w.Hours > 0:
		n, name = w.Hours, "hour"
	case w.Minutes > 0:
		n, name = w.Minutes, "minute"
	}
	if n != 1 {
		name += "s"
	}
	return strings.ReplaceAll(phrases[name], "{{.N}}", strconv.Itoa(n))
}
