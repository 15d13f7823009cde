package twofahttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/twofahttp"
)

var placeholder = regexp.MustCompile(`{{\w+}}`)

func TestMessages_EveryRowIsComplete(t *testing.T) {
	ids, generic := map[string]bool{}, map[string]twofahttp.Message{}
	for _, m := range twofahttp.Messages {
		require.False(t, ids[m.ID()], "%s: twice", m.ID())
		ids[m.ID()] = true
		if m.Method == "" {
			generic[m.Code] = m
		}
		require.Regexp(t, `^[a-z_]+$`, m.Code)
		require.NotEmpty(t, http.StatusText(m.Status), m.ID())
		require.NotEmpty(t, m.Next, m.ID())
		require.Regexp(t, `^[A-Z][^.{]+[^.{!?]$`, m.Title(), m.ID())
		require.Regexp(t, `^[A-Z{].+\.$`, m.Text(), m.ID())
		require.Contains(t, generic, m.Code, "%s: the row for all other methods must come first", m.ID())
		require.Equal(t, generic[m.Code].Status, m.Status, m.ID())
		require.Equal(t, generic[m.Code].Next, m.Next, m.ID())
	}
	texts := []string{}
	for _, m := range twofahttp.Messages {
		texts = append(texts, m.Text())
	}
	for _, text := range texts {
		for _, name := range placeholder.FindAllString(text, -1) {
			require.Contains(t, []string{"{{in}}", "{{issuer}}", "{{action}}", "{{detail}}", "{{duration}}", "{{date}}"}, name, text)
		}
	}
}

// wordsOf are words that only the texts about one method may use.
var wordsOf = map[twofa.Method]*regexp.Regexp{
	twofa.TOTP:         regexp.MustCompile(`(?i)authenticator|\bapp\b|QR|wait for the next`),
	twofa.SMS:          regexp.MustCompile(`(?i)text message|\btext (a|the)\b|\bphone`),
	twofa.EmailLink:    regexp.MustCompile(`(?i)\blink|email|spam`),
	twofa.RecoveryCode: regexp.MustCompile(`(?i)recovery|XXXX|that you saved`),
}

func TestMessages_SpeakOfTheirMethodOnly(t *testing.T) {
	anyMethod := []string{"invalid_code", "malformed_code", "locked", "method_off", "limited", "too_soon", "not_sent", "send_failed", "send_paused", "messages_limited", "enrollment_over"}
	for _, m := range twofahttp.Messages {
		if m.Method == "" && !slices.Contains(anyMethod, m.Code) {
			continue // about one thing only
		}
		for method, words := range wordsOf {
			if method != m.Method {
				require.NotRegexp(t, words, m.Title()+" "+m.Text(), "%s uses words of %s", m.ID(), method)
			}
		}
	}
}

// sources returns the text of all files of the package, except tests and the
// table itself.
func sources(t *testing.T) (text string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "messages.go" {
			continue
		}
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		text += string(b)
	}
	return text
}

// Each code that the package uses has a row, and each row is used.
func TestMessages_EveryCodeHasOne(t *testing.T) {
	codes := map[string]bool{}
	for _, m := range twofahttp.Messages {
		codes[m.Code] = true
	}
	text := sources(t)
	used := regexp.MustCompile(`(?:code: |waitError{|notify\(|changeSettings\(|messageOf\(|take\(&x\.\w+, |, )"([a-z_]+)"[,})]`)
	for _, m := range regexp.MustCompile(`(?m)^.*(?:httpError{|waitError{|notify\(|changeSettings\(|messageOf\(|x\.take\().*$`).FindAllString(text, -1) {
		for _, code := range used.FindAllStringSubmatch(m, -1) {
			require.Contains(t, codes, code[1], strings.TrimSpace(m))
		}
	}
	reasons := reasonsOf(t)
	for code := range codes {
		require.True(t, strings.Contains(text, `"`+code+`"`) || slices.Contains(reasons, code), "no error has the code %s", code)
	}
}

// reasonsOf returns the values of all constants of type Reason.
func reasonsOf(t *testing.T) (values []string) {
	t.Helper()
	source, err := os.ReadFile("../errors.go")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(?m)^\tReason\w+ +Reason = "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		values = append(values, m[1])
	}
	require.Len(t, values, 12)
	return values
}

// problemFor returns the JSON answer to an error.
func (h *host) problemFor(err error) (p struct {
	Status              int
	Code, Title, Detail string
}) {
	r := httptest.NewRequest("GET", "/", nil)
	w := httptest.NewRecorder()
	h.web.Error(w, r, err)
	require.NoError(h, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(h, w.Code, p.Status)
	return p
}

func TestMessages_EveryErrorOfTheManagerHasOne(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	all := map[string]error{"ErrInvalidCode": twofa.ErrInvalidCode, "ErrMalformedCode": twofa.ErrMalformedCode, "ErrLocked": twofa.ErrLocked, "ErrExpired": twofa.ErrExpired,
		"ErrNotEnrolled": twofa.ErrNotEnrolled, "ErrNotAllowed": twofa.ErrNotAllowed, "ErrInvalid": twofa.ErrInvalid, "ErrUndeliverable": twofa.ErrUndeliverable, "ErrUnavailable": twofa.ErrUnavailable}
	source, err := os.ReadFile("../errors.go")
	require.NoError(t, err)
	names := regexp.MustCompile(`(?m)^\t(Err\w+) += errors.New`).FindAllStringSubmatch(string(source), -1)
	require.Len(t, names, len(all))
	for _, name := range names {
		require.NotNil(t, all[name[1]], name[1])
	}
	for _, reason := range reasonsOf(t) {
		all[reason] = &twofa.DeniedError{Reason: twofa.Reason(reason)}
		all[reason+" of an action"] = &twofa.DeniedError{Reason: twofa.Reason(reason), Action: "contacts.export"}
	}
	for name, err := range all {
		p := h.problemFor(fmt.Errorf("wrapped: %w", err))
		require.NotEqual(t, "internal", p.Code, name)
		require.NotContains(t, p.Title+p.Detail, "{{", name)
	}
	require.Equal(t, "internal", h.problemFor(errors.New("unknown")).Code)
	require.Equal(t, "This action needs a fresh code. Nothing was changed.", h.problemFor(&twofa.DeniedError{Reason: twofa.ReasonMissing}).Detail)
	require.Contains(t, h.problemFor(&twofa.DeniedError{Reason: twofa.ReasonSignedOut, Action: twofa.ActionFactors, MaxAge: 10 * time.Minute}).Detail, "within the last 10 minutes")
	require.Equal(t, "“Export contacts” needs a fresh code. Nothing was changed.", h.problemFor(&twofa.DeniedError{Reason: twofa.ReasonMissing, Action: "contacts.export"}).Detail)
}

// madeOfParts matches the IDs that package locale, factorName, events and policies
// put together. TestActivity_EveryTypeHasASentence compares those of events.
var madeOfParts = regexp.MustCompile(`^(?:date\.(?:day|first|full|time|am|pm|month\.(?:[1-9]|1[0-2]))|(?:in|duration)\.(?:seconds|minutes|hours)|factor\.(?:totp|sms)|event\.[a-z_]+(?:\.[a-z]+)?|` +
	`page\.policy\.(?:require\.(?:optional|email|authenticator|sms)(?:\.hint)?|off\.(?:user|admin|support)|weaken\.(?:owner|admin)|reset_by\.(?:admin|owner|support)))$`)

// Each text of the catalog that is not for mail and text messages is in a page, or
// in the sources of this package.
func TestMessages_UseEveryText(t *testing.T) {
	file, err := json.Marshal(locale.English())
	require.NoError(t, err)
	var texts map[string]string
	require.NoError(t, json.Unmarshal(file, &texts))
	used := sources(t)
	pages, err := filepath.Glob("pages/*")
	require.NoError(t, err)
	for _, page := range append(pages, "messages.go", "../policychange.go", "../internal/policytext/policytext.go") {
		b, err := os.ReadFile(page)
		require.NoError(t, err)
		used += string(b)
	}
	rows := map[string]bool{}
	for _, m := range twofahttp.Messages {
		rows["message."+m.ID()+".title"], rows["message."+m.ID()+".text"], rows["message."+m.ID()+".action.text"] = true, true, true
	}
	plural := regexp.MustCompile(`_(zero|one|two|few|many|other)$`)
	for key := range texts {
		id := plural.ReplaceAllString(key, "")
		if regexp.MustCompile(`^(text|mail|link|notice|method|device|policy)\b`).MatchString(id) {
			continue // a test of the root package checks that messages use them
		}
		if madeOfParts.MatchString(id) {
			continue
		}
		require.True(t, rows[id] || strings.Contains(used, `"`+id+`"`), "nothing uses %s", id)
	}
}

var updateMessages = flag.Bool("messages.update", false, "write the table of messages to docs/pages.md")

// docs/pages.md contains the table. After a change, update it with
//
//	go test ./twofahttp -run TestMessages_AreDocumented -messages.update
func TestMessages_AreDocumented(t *testing.T) {
	var b strings.Builder
	for _, m := range twofahttp.Messages {
		fmt.Fprintf(&b, "| `%s` | %s | %d | %s | %s | %s |\n", m.Code, m.Method, m.Status, m.Title(), m.Text(), m.Next)
	}
	const page, head, end = "../docs/pages.md", "| code | method | status | title | text | offers |\n|---|---|---|---|---|---|\n", "\n## "
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), head)
	require.True(t, ok)
	table, after, _ := strings.Cut(rest, end)
	if *updateMessages {
		require.NoError(t, os.WriteFile(page, []byte(before+head+b.String()+end+after), 0o644))
		return
	}
	require.Equal(t, b.String(), table)
}

// says requires that a page has the text of one row, and that of no other row.
func says(t *testing.T, page answer, code string, method twofa.Method) {
	t.Helper()
	start := func(m twofahttp.Message) string {
		text, _, _ := strings.Cut(m.Title()+m.Text(), "{{")
		return text
	}
	i := slices.IndexFunc(twofahttp.Messages, func(m twofahttp.Message) bool { return m.Code == code && m.Method == method })
	require.GreaterOrEqual(t, i, 0, "%s %s", code, method)
	right := twofahttp.Messages[i]
	require.Equal(t, right.Status, page.StatusCode)
	body := regexp.MustCompile(`</(h1|p)>\s*<p>`).ReplaceAllString(html.UnescapeString(page.Body), "")
	require.Contains(t, body, start(right))
	for _, m := range twofahttp.Messages {
		if m.Code == code && !strings.HasPrefix(start(right), start(m)) {
			require.NotContains(t, body, start(m), m.ID())
		}
	}
}

// Each method has its own words for a code that is wrong or cannot be one. The
// latter costs no try.
func TestMessages_CodesOfEachMethod(t *testing.T) {
	h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}}, noMail)
	b, phone, _ := h.pending("ada")
	b.wrongCodes(t, twofa.TOTP, phone.wrong())
	b.wrongCodes(t, twofa.RecoveryCode, strings.Repeat("ABCD-", 5)+"ABCD")

	b = h.browser()
	b.login("bea")
	b.get("/2fa/setup?start=1")
	b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
	says(t, b.post("/2fa/setup/confirm", "code", "12"), "malformed_code", twofa.SMS)
	says(t, b.post("/2fa/setup/confirm", "code", otherCode(h.outbox.code())), "invalid_code", twofa.SMS)
	b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code()))
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	h.clock.pass(time.Hour)
	b = h.browser()
	require.Contains(t, b.login("bea").Body, "We texted a code")
	b.wrongCodes(t, twofa.SMS, otherCode(h.outbox.code()))
}

func (b *browser) wrongCodes(t *testing.T, method twofa.Method, wrong string) {
	t.Helper()
	for _, malformed := range []string{"12", "letters"} {
		says(t, b.post("/2fa/verify", "method", string(method), "code", malformed), "malformed_code", method)
	}
	page := b.post("/2fa/verify", "method", string(method), "code", wrong)
	says(t, page, "invalid_code", method)
	require.Contains(t, page.Body, "You have 4 more tries.", "what cannot be a code has cost none")
	require.Contains(t, page.Body, `aria-invalid="true" aria-describedby="alert"`)
}

// otherCode returns a code that is not the given one.
func otherCode(code string) string { return string('0'+(code[0]-'0'+1)%10) + code[1:] }

func TestMessages_EnrollmentIsOver(t *testing.T) {
	h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}}, noMail)
	b := h.browser()
	b.login("ada")
	b.get("/2fa/setup?start=1")
	b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
	for i := range 4 {
		b.post("/2fa/setup/confirm", "code", fmt.Sprintf("%06d", i))
	}
	page := b.post("/2fa/setup/confirm", "code", otherCode(h.outbox.code()))
	says(t, page, "enrollment_over", twofa.SMS)
	require.Contains(t, page.Body, "Authenticator app", "all methods are offered again")
}

// down fails to send, in the way of a gateway that cannot be reached.
type down struct {
	*outbox
	down bool
}

func (d *down) SendMail(ctx context.Context, m twofa.Email) error {
	if d.down {
		return errors.New("connection refused")
	}
	return d.outbox.SendMail(ctx, m)
}

func (d *down) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	if d.down {
		return errors.New("connection refused")
	}
	return d.outbox.SendSMS(ctx, m)
}

func failing(d *down) func(*twofa.Config, *twofahttp.Config) {
	return func(c *twofa.Config, _ *twofahttp.Config) {
		d.outbox = c.SMS.Sender.(*outbox)
		c.SMS.Sender = d
		if c.Mail.Mailer != nil {
			c.Mail.Mailer = d
		}
	}
}

func TestSend_MailServerIsDown(t *testing.T) {
	d := &down{down: true}
	h := newHost(t, twofa.PolicyEmailLink(), failing(d))
	b := h.browser()
	page := b.login("ada")
	require.Equal(t, 200, page.StatusCode)
	require.Contains(t, page.Body, "We could not send the link")
	require.Contains(t, page.Body, "The problem is on our side")
	require.Contains(t, page.Body, "Email me a link")

	page = b.post("/2fa/send", "method", "email") // the attempt that failed counts
	says(t, page, "send_paused", twofa.EmailLink)
	require.Equal(t, "60", page.Header.Get("Retry-After"))
	require.NotContains(t, page.Body, "earlier sign-in")
	require.Contains(t, b.get("/2fa/challenge").Body, "Our last attempt to send a link failed", "the page can be loaded again")
	page = b.login("ada")
	require.Contains(t, page.Body, "Our last attempt to send a link failed", "a second login within the minute")
	require.NotContains(t, page.Body, "earlier sign-in")

	h.clock.pass(time.Minute)
	page = b.post("/2fa/send", "method", "email")
	says(t, page, "send_failed", twofa.EmailLink)
	h.clock.pass(time.Minute)
	d.down = false
	page = b.follow(b.post("/2fa/send", "method", "email"))
	require.Contains(t, page.Body, "Check your email")
	require.NotContains(t, page.Body, "could not send")

	h.clock.pass(time.Minute)
	d.down = true
	page = b.post("/2fa/send", "method", "email")
	says(t, page, "send_failed", twofa.EmailLink)
	require.Contains(t, page.Body, "Check your email", "the link before is still valid")
	b.post("/2fa/link", "token", tokenOf(h.mailed()))
	require.True(t, b.signedIn())
}

func TestSend_GatewayIsDown(t *testing.T) {
	d := &down{down: true}
	h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Required: true}, noMail, failing(d))
	b := h.browser()
	b.login("ada")
	page := b.post("/2fa/setup", "method", "sms", "phone", "+41791234567")
	says(t, page, "send_failed", twofa.SMS)
	require.Contains(t, page.Body, `value="&#43;41791234567"`)
	require.Contains(t, page.Body, "Authenticator app")
	says(t, b.post("/2fa/setup", "method", "sms", "phone", "+41 791234567"), "send_paused", twofa.SMS)
	page = b.get("/2fa/setup")
	require.Contains(t, page.Body, "Our last attempt to text a code failed")
	h.clock.pass(2 * time.Minute)
	d.down = false
	page = b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
	require.Contains(t, page.Body, "Save your recovery codes")
	require.Contains(t, b.follow(b.post("/2fa/setup/saved", "saved", "yes")).Body, "Confirm your phone")
}

func TestSend_TooManyFromOneNetwork(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	for i := range 20 {
		require.Contains(t, h.browser().login(fmt.Sprintf("user%d", i)).Body, "Check your email")
	}
	b := h.browser()
	page := b.login("ada")
	require.Contains(t, page.Body, "Too many messages were requested from your network. Try again in 3 minutes, or use another method.")
	says(t, b.post("/2fa/send", "method", "email"), "messages_limited", "")
	require.Contains(t, b.get("/2fa/challenge").Body, "Too many messages were requested")
	h.clock.pass(3 * time.Minute)
	require.NotContains(t, b.get("/2fa/challenge").Body, "Too many messages were requested")
	require.Contains(t, b.follow(b.post("/2fa/send", "method", "email")).Body, "Check your email")
}

// A mistake in a form of the enrollment keeps all options and what was typed, and
// the message is at the field.
func TestEnrollment_MistakeKeepsThePage(t *testing.T) {
	h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}}, noMail)
	b := h.browser()
	b.login("ada")
	b.get("/2fa/setup?start=1")
	for _, c := range []struct {
		name, form, other string // the form that the page has, and the method that it offers below
		pairs             []string
	}{
		{"phone", "sms", "totp", []string{"method", "sms", "phone", "12", "region", "CH"}},
		{"replaces", "totp", "sms", []string{"method", "totp", "name", "Work phone", "replaces", "gone"}},
		{"method", "totp", "sms", []string{"method", "email"}},
	} {
		page := b.post("/2fa/setup", c.pairs...)
		require.GreaterOrEqual(t, page.StatusCode, 400, c.name)
		require.Contains(t, page.Body, `name="method" value="`+c.form+`"`, c.name)
		require.Contains(t, page.Body, `href="/2fa/setup?start=1&amp;method=`+c.other+`"`, c.name)
		require.Contains(t, page.Body, `role="alert"`, c.name)
	}
	page := b.post("/2fa/setup", "method", "sms", "phone", "12", "region", "CH").Body
	require.Regexp(t, `(?s)<label class="label" for="phone">.*<input id="phone"[^>]* value="12"[^>]* aria-describedby="alert phonehint" aria-invalid="true"[^>]*>\s*<div class="error" role="alert" id="alert">.*We cannot text this number`, page)
	require.Contains(t, page, `<option value="CH" selected>`)
	require.Contains(t, b.post("/2fa/setup", "method", "totp", "name", "Work phone", "replaces", "gone").Body, `value="Work phone"`)
}

// The number can be corrected during the replacement of a phone.
func TestEnrollment_OtherNumberStillReplaces(t *testing.T) {
	h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}}, noMail)
	b := h.browser()
	b.login("ada")
	b.get("/2fa/setup?start=1")
	b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
	b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code()))
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	id := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
	h.clock.pass(time.Minute)
	page := b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234568", "replaces", id))
	again := regexp.MustCompile(`<a class="btn-link" href="([^"]+)">`).FindStringSubmatch(page.Body)
	require.NotNil(t, again)
	require.Contains(t, b.get(html.UnescapeString(again[1])).Body, `name="replaces" value="`+id+`"`)
}

func TestVerify_WrongCodeKeepsTheTick(t *testing.T) {
	h := newHost(t, twofa.Policy{Remember: 30 * 24 * time.Hour})
	b, phone, _ := h.pending("ada")
	require.NotContains(t, b.get("/2fa/challenge").Body, " checked")
	require.Contains(t, b.post("/2fa/verify", "method", "totp", "code", phone.wrong(), "remember", "yes").Body, `value="yes" checked`)
}

// A link that cannot be used right now is still valid, so its page is shown
// again with the button.
func TestLink_FailureKeepsTheButton(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink(), func(_ *twofa.Config, w *twofahttp.Config) { w.AttemptsPerMinute = 1 })
	b := h.browser()
	b.login("ada")
	token := tokenOf(h.mailed())
	h.store.broken(errors.New("down"), false)
	page := b.post("/2fa/link", "token", token)
	says(t, page, "unavailable", "")
	require.Contains(t, page.Body, `name="token" value="`+token+`"`)
	h.store.broken(nil, false)
	page = b.post("/2fa/link", "token", token)
	says(t, page, "limited", "")
	require.Contains(t, page.Body, `name="token" value="`+token+`"`)
	h.clock.pass(time.Minute)
	b.post("/2fa/link", "token", token)
	require.True(t, b.signedIn())
}

// A form of the settings that fails shows the same page and what was typed.
func TestSettings_FailureKeepsThePage(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.enroll("ada")
	id := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
	for i := range 20 {
		require.Equal(t, 303, b.post("/2fa/factors/rename", "id", id, "name", fmt.Sprint("Phone ", i)).StatusCode)
	}
	page := b.post("/2fa/factors/rename", "id", id, "name", "Tablet")
	says(t, page, "locked", "")
	require.Contains(t, page.Body, `value="Tablet"`)
	for _, path := range []string{"factors/rename", "factors/remove", "browsers/forget"} {
		page = b.post("/2fa/"+path, "id", "gone", "name", "x")
		says(t, page, "not_enrolled", "")
		require.Contains(t, page.Body, "Recovery codes</h2>", path)
	}
	r := b.request("POST", "/2fa/factors/rename", "csrf_token="+b.csrf+"&id=gone")
	r.Header.Set("Accept", "application/json")
	require.Equal(t, "not_enrolled", problemCode(t, b.do(r)), "other clients get a problem document")
}

// Each form of the settings reports its success once.
func TestSettings_SuccessIsShownOnce(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.enroll("ada")
	id := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
	page := b.follow(b.post("/2fa/factors/rename", "id", id, "name", "Tablet"))
	require.Contains(t, page.Body, `<div class="banner is-good" role="status" id="alert">`)
	says(t, page, "renamed", "")
	require.NotContains(t, b.get("/2fa/").Body, "Name changed")
	b.follow(b.post("/2fa/codes/new"))
	says(t, b.follow(b.post("/2fa/setup/saved", "saved", "yes")), "codes_saved", "")
	b.setCookie("__Host-twofa-notice", "locked")
	require.NotContains(t, b.get("/2fa/").Body, "Too many attempts", "the cookie selects successes only")
}

func TestSettings_States(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada")
	b.get(h.mailed())
	b.follow(b.post("/2fa/link", "token", tokenOf(h.mailed())))
	page := b.get("/2fa/").Body
	require.Contains(t, page, onBadge)
	require.Contains(t, page, english("page.settings.email"))
	require.Regexp(t, `<bdi>a.*@example.com</bdi>`, page)
	require.NotContains(t, page, english("page.settings.lead.off"))
	b.get("/2fa/setup?start=1")
	page = b.follow(b.post("/2fa/setup", "method", "totp")).Body
	phone := h.scan(page)
	page = b.get("/2fa/").Body
	require.Contains(t, page, english("page.settings.pending.totp"))
	require.NotContains(t, page, "banner is-bad")
	b.follow(b.post("/2fa/setup/confirm", "code", phone.code()))
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	page = b.get("/2fa/setup?start=1&method=totp").Body
	require.Contains(t, page, "<h1>Add an authenticator app</h1>")
	require.NotContains(t, page, "Set up two")
}

// words returns a text of the pages without placeholders, in English.
func words(id string) string { return locale.English().Text(id, nil) }
