package twofahttp

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"html/template"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/known"
)

const (
	maxHeldForm   = 16 << 10
	maxHeldFields = 1000
)

// heldForm is a form that waits for a step-up. The pages that ask for the proof
// carry it, sealed, in the hidden field "held".
type heldForm struct {
	twofa.Form
	text twofa.Secret
}

// formField is a field of a held form.
type formField struct{ Name, Value string }

// resubmitData is the data of the page "resubmit".
type resubmitData struct {
	Action string       // title of the action, if it has one
	URL    template.URL // address that the form is sent to; empty if the form was lost
	Fields []formField
	Back   string // address of the page with the button
}

// resubmits reports whether the browser sends a form for the action again after
// the proof. The forms of these pages always are.
func (x *exchange) resubmits(action string) bool {
	return x.cfg.Actions[action].Resubmit || isBuiltIn(action) && x.form != nil
}

// hold answers a POST that lacks a fresh proof with the page that asks for it and
// carries the form. It reports false if the form must not or cannot be sent
// again. Then the user presses the button once more.
func (x *exchange) hold(d *twofa.DeniedError) (view, bool) {
	if !x.resubmits(d.Action) || !x.isFromOwnPage() {
		return view{}, false
	}
	form, _, ok := x.sentForm()
	if !ok {
		return view{}, false
	}
	form.Page = x.pageOf(d)
	v, err := x.once(func() (view, error) { return x.startHeld(d, form) }, "held", d.Account, d.Action, d.Resource, form.URL, form.Body.Reveal())
	v.denied = d
	return v, err == nil
}

// isFromOwnPage reports whether the request proves that a page of this origin
// sent it. A trusted origin is not enough, because its page would choose what the
// user confirms.
func (x *exchange) isFromOwnPage() bool {
	if site := x.r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin, err := url.Parse(x.r.Header.Get("Origin"))
	return err == nil && origin.Host != "" && origin.Host == x.r.Host && (origin.Scheme == "https" || x.r.TLS == nil && isLoopback(origin.Hostname()))
}

// startHeld starts the step-up of a held form. If the same form was sent a moment
// ago, it continues the step-up of that one.
func (x *exchange) startHeld(d *twofa.DeniedError, form twofa.Form) (view, error) {
	f := x.repeatedFlow()
	x.browserToken()
	if f.kind == "" {
		c := x.caller()
		c.Account = cmp.Or(d.Account, c.Account)
		result, err := x.m.StepUp(x.ctx(), c, d.Action, d.Resource)
		if err != nil {
			return view{}, err
		}
		if result.Next != twofa.NextChallenge { // a proof was given meanwhile
			return view{}, twofa.ErrExpired
		}
		f = x.sendStepUp(result, flow{next: form.Page}, c.Account, d.Action, d.Resource)
	}
	x.held = &heldForm{Form: form}
	return x.showHeld(f)
}

// showHeld binds a step-up to the held form and shows the page that asks for the
// proof. A redirect would lose the form.
func (x *exchange) showHeld(f flow) (view, error) {
	f.kind = kindAction
	f.ChallengeInfo, _ = x.m.ChallengeInfo(x.client(), f.challenge)
	c := x.caller()
	c.Account, c.Form = f.Account, x.formName(x.held.Form)
	text, challenge, err := x.m.HoldForm(c, f.challenge, x.held.Form)
	if err != nil {
		return view{}, err
	}
	x.held.text, f.challenge = text, challenge
	x.setFlow(challengeCookie, f)
	if x.repeat != nil {
		x.repeat.flow = f
	}
	return x.showChallenge(f, "", nil)
}

// repeatedFlow returns the flow that the same form led to a moment ago.
func (x *exchange) repeatedFlow() flow {
	if x.repeat == nil {
		return flow{}
	}
	return x.repeat.flow
}

// pending returns the flow that a form of the challenge page is for. A page that
// carries a held form has a step-up of its own, so that two tabs do not mix. If
// the held form does not open here, the flow is that of the cookie, and the user
// presses the button once more.
func (x *exchange) pending() flow {
	f := x.flow(challengeCookie)
	text := twofa.NewSecret(x.form.Get("held"))
	if text.IsZero() {
		return f
	}
	c := x.holder()
	c.Challenge = f.challenge
	form, challenge, err := x.m.HeldForm(c, text)
	if err != nil {
		return f
	}
	x.held = &heldForm{form, text}
	if f.challenge.Reveal() == challenge.Reveal() {
		return f
	}
	info, _ := x.m.ChallengeInfo(x.client(), challenge)
	return flow{kind: kindAction, challenge: challenge, ChallengeInfo: info, next: form.Page}
}

// holder returns the caller for opening a held form. Unlike in caller, the
// account is empty if these pages cannot know it.
func (x *exchange) holder() twofa.Caller {
	c := x.caller()
	if x.cfg.Account != nil {
		c.Account = x.cfg.Account(x.r)
	}
	return c
}

// postChallenge shows the challenge page with another method. If the proof was
// given elsewhere, as by an email link, it continues with the held form.
func (x *exchange) postChallenge() (view, error) {
	method := x.form.Get("method")
	x.retryURL = x.path("challenge")
	f := x.pending()
	if x.held == nil {
		return redirectTo(withParameter(x.path("challenge"), "method", method))
	}
	v, err := x.showChallenge(f, twofa.Method(method), nil)
	if !errors.Is(err, twofa.ErrExpired) {
		return v, err
	}
	if _, proven := x.m.ProvenForm(x.ctx(), x.holder(), x.held.text); !errors.Is(proven, twofa.ErrExpired) {
		return x.resubmit(f), proven
	}
	return view{}, err
}

// resubmit returns the page from which the browser sends the held form, once. The
// server never sends it itself. If the form was lost, the page asks the user to
// press the button again.
func (x *exchange) resubmit(f flow) view {
	d := resubmitData{Action: x.askedFor(f), Back: SafeRedirect(f.next, x.cfg.HomeURL)}
	if x.held != nil && isLocalPath(x.held.URL) {
		d.URL = template.URL(x.held.URL)
		d.Fields, _ = parseFields(x.held.Body.Reveal())
	}
	return view{page: "resubmit", data: d}
}

// sentForm returns the form that the request sends, and its name for
// [twofa.Caller.Form]. ok is false if a browser could not send the same form
// again from a page: other media types, files, large forms, and characters that
// HTML cannot express. It puts the body back, so that the handler finds it
// untouched.
func (x *exchange) sentForm() (form twofa.Form, name string, ok bool) {
	mediaType, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if x.r.Method != http.MethodPost || err != nil || mediaType != "application/x-www-form-urlencoded" || strings.ToLower(cmp.Or(params["charset"], "utf-8")) != "utf-8" {
		return form, "", false
	}
	local := x.r.URL.RequestURI()
	to := x.cfg.public(local)
	if x.r.RequestURI != "" && x.r.RequestURI != local && x.r.RequestURI != to { // by http.StripPrefix; the form would arrive elsewhere
		return form, "", false
	}
	if !isLocalPath(to) || x.r.ContentLength < 0 || x.r.ContentLength > maxHeldForm {
		return form, "", false
	}
	body, ok := x.encodedForm()
	if !ok || len(body) > maxHeldForm {
		return form, "", false
	}
	if _, ok := parseFields(body); !ok {
		return form, "", false
	}
	form = twofa.Form{URL: to, Body: twofa.NewSecret(body)}
	return form, x.formName(form), true
}

// encodedForm returns the encoded fields of the body. A middleware may have
// parsed it before.
func (x *exchange) encodedForm() (body string, ok bool) {
	switch {
	case x.form != nil:
		return x.form.Encode(), true
	case x.r.PostForm != nil:
		return x.r.PostForm.Encode(), len(x.r.PostForm) > 0 || x.r.ContentLength == 0
	case x.r.Body == nil:
		return "", true
	}
	read, err := io.ReadAll(io.LimitReader(x.r.Body, x.r.ContentLength))
	x.r.Body = readBack{io.MultiReader(bytes.NewReader(read), x.r.Body), x.r.Body}
	return string(read), err == nil && int64(len(read)) == x.r.ContentLength
}

// readBack is a body of which a part was read and put back.
type readBack struct {
	io.Reader
	io.Closer
}

// parseFields returns the fields of a body in their order. ok is false if a page
// could not contain them as hidden fields and get the same body.
func parseFields(body string) (fields []formField, ok bool) {
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, badName := url.QueryUnescape(name)
		value, badValue := url.QueryUnescape(value)
		if badName != nil || badValue != nil || strings.Contains(pair, ";") || name == "" || name == "_charset_" || !isText(name) || !isText(value) || len(fields) == maxHeldFields {
			return nil, false
		}
		fields = append(fields, formField{name, value})
	}
	return fields, true
}

// isText reports whether HTML can express s.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// formName returns a hash of a form that is the same when the browser sends it
// again: browsers send each line break as CR LF, and a middleware may have lost
// the order of the fields. It is keyed with the browser's secret, because a form
// can contain a password.
func (x *exchange) formName(form twofa.Form) string {
	u, err := url.ParseRequestURI(form.URL)
	fields, ok := parseFields(form.Body.Reveal())
	if x.browser.IsZero() || err != nil || !ok {
		return ""
	}
	slices.SortStableFunc(fields, func(a, b formField) int { return cmp.Compare(a.Name, b.Name) })
	mac := hmac.New(sha256.New, []byte(known.Parse(x.browserToken()).Secret))
	add := func(part string) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	add("twofahttp held form")
	add(u.Path)
	add(u.Query().Encode())
	for _, f := range fields {
		add(lineBreaks.Replace(f.Name))
		add(lineBreaks.Replace(f.Value))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// sentFormName returns the name of the form that the request sends, if one of the
// actions has Resubmit.
func (x *exchange) sentFormName(actions ...string) string {
	if !slices.ContainsFunc(actions, func(action string) bool { return x.cfg.Actions[action].Resubmit }) {
		return ""
	}
	_, name, _ := x.sentForm()
	return name
}
