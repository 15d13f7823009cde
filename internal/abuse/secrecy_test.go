package abuse

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/twofatest"
)

// hush is the text that must not appear anywhere.
const hush = "hush-481516234242"

// exported returns a value of every exported type, with a secret in each field
// that is for one. Some types never contain a secret: names and IDs, the
// configuration of a host, and records, which are sealed.
func exported(t testing.TB) map[string]any {
	secret := twofa.NewSecret(hush)
	challenge, session := twofa.ParseChallenge(hush), twofa.ParseSession(hush)
	client := twofa.Client{IP: "192.0.2.7", Browser: secret, HostSession: secret}
	w := newWorld(t)
	cfg := w.cfg
	keys, err := twofa.ParseKeyRing("k:" + base64.StdEncoding.EncodeToString([]byte((hush + "abcdefghijklmnop")[:31]+"\xff")))
	require.NoError(t, err)
	cfg.Keys, cfg.Store = keys, nil
	return map[string]any{
		"Account": w.Account(twofa.AsHost("x"), "acme"), "Actor": twofa.AsStaff("s1", "x"), "EventActor": twofa.EventActor{}, "EventPage": twofa.EventPage{},
		"ConfigError": &twofa.ConfigError{}, "RekeyResult": twofa.RekeyResult{}, "RekeyFailure": twofa.RekeyFailure{}, "PolicyInfo": twofa.PolicyInfo{}, "PolicyChange": twofa.PolicyChange{}, "PolicyDifference": twofa.PolicyDifference{}, "ActionRule": twofa.ActionRule{}, "Browser": twofa.Browser{}, "FirstFactorMethod": twofa.ByPassword,
		"Caller":      twofa.Caller{Session: session, Challenge: challenge, Client: client},
		"Challenge":   challenge,
		"Client":      client,
		"Config":      cfg,
		"ManagedUser": w.User(twofa.AsUser(twofa.Caller{Session: session, Challenge: challenge, Client: client}, ""), "ada"), "DeniedError": &twofa.DeniedError{}, "SessionInfo": twofa.SessionInfo{}, "ChallengeInfo": twofa.ChallengeInfo{},
		"Email":         twofa.Email{To: "ada@example.com", Subject: "s", Text: twofa.NewSecret(hush), HTML: twofa.NewSecret(hush)},
		"EnrollRequest": twofa.EnrollRequest{},
		"Enrollment": twofa.Enrollment{URI: secret, Key: secret, Codes: []twofa.Secret{secret, secret},
			Challenge: challenge},
		"Event": twofa.Event{}, "EventQuery": twofa.EventQuery{}, "Factor": twofa.Factor{}, "Factors": twofa.Factors{},
		"FirstFactor": twofa.FirstFactor{Client: client, Session: session}, "GivenFirstFactor": twofa.GivenFirstFactor{},
		"Impact": twofa.Impact{}, "Status": twofa.Status{}, "Reminded": twofa.Reminded{}, "Summary": twofa.Summary{}, "StatusFactor": twofa.StatusFactor{}, "State": twofa.StateOn, "Role": twofa.RoleAdmin,
		"KeyRing":     keys,
		"LinkEmail":   twofa.LinkEmail{URL: secret, Code: secret},
		"Result":      twofa.Result{Session: session, Challenge: challenge, Browser: secret},
		"Manager":     w.Manager,
		"Form":        twofa.Form{Body: secret},
		"LinkRequest": twofa.LinkRequest{Token: secret}, "Lifetimes": twofa.Lifetimes{}, "MailConfig": cfg.Mail, "SMSConfig": cfg.SMS, "RecoveryConfig": cfg.Recovery,
		"Member": twofa.Member{}, "Method": twofa.TOTP, "Next": twofa.NextDone,
		"Case": twofa.Case{}, "AuditReport": twofa.AuditReport{}, "AuditCutoff": twofa.AuditCutoff{}, "AuditProblem": twofa.AuditProblem{}, "AuditProblemKind": twofa.AuditCut, "Approval": twofa.Approval{}, "Standing": twofa.Standing{}, "NoticeEmail": twofa.NoticeEmail{CancelURL: secret}, "Brand": twofa.Brand{}, "Phone": twofa.Phone{}, "Policy": twofa.Policy{},
		"PhoneAssignment": twofa.PhoneAssignment{}, "PhoneOutcome": twofa.PhoneAssigned, "PhoneProblem": twofa.PhoneCountry, "PhoneResult": twofa.PhoneResult{}, "AssignedPhone": twofa.AssignedPhone{}, "AssignedData": twofa.AssignedData{},
		"Proof":        twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(hush)},
		"ProvenMethod": twofa.ProvenMethod{}, "Reason": twofa.ReasonMissing,
		"Record": twofa.Record{}, "RecordedAction": twofa.RecordedAction{}, "ResetRequest": twofa.ResetRequest{}, "RecordError": &twofa.RecordError{}, "Secret": secret, "Session": session, "SendRequest": twofa.SendRequest{},
		"TOTPConfig":   twofa.TOTPConfig{},
		"ImportFactor": twofa.ImportFactor{Key: secret, KeyBytes: secret, URI: secret}, "ImportOutcome": twofa.ImportDone, "ImportResult": twofa.ImportResult{},
		"ImportUser": twofa.ImportUser{Factors: []twofa.ImportFactor{{Key: secret, KeyBytes: secret, URI: secret}}},
		"Info":       twofa.Info{}, "UserData": twofa.UserData{}, "FactorData": twofa.FactorData{}, "BrowserData": twofa.BrowserData{}, "FailureData": twofa.FailureData{}, "ProofData": twofa.ProofData{}, "AccountData": twofa.AccountData{}, "AddressData": twofa.AddressData{},
		"CodeText":    twofa.CodeText{Code: secret},
		"TextMessage": twofa.TextMessage{To: "+41791234567", Body: twofa.NewSecret(hush)},
		"TurnOff":     twofa.TurnOffByUser, "User": twofa.User{},
	}
}

func TestSecrecy_EveryExportedTypeIsListed(t *testing.T) {
	var declared []string
	names, err := filepath.Glob("../../*.go")
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			g, _ := d.(*ast.GenDecl)
			if g == nil || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				s := spec.(*ast.TypeSpec)
				if _, is := s.Type.(*ast.InterfaceType); s.Name.IsExported() && !is {
					declared = append(declared, s.Name.Name)
				}
			}
		}
	}
	values := exported(t)
	looked := make([]string, 0, len(values))
	for name := range values {
		looked = append(looked, name)
	}
	require.ElementsMatch(t, declared, looked)
}

// A Secret field that is empty above would prove nothing.
func TestSecrecy_EverySecretFieldIsFilled(t *testing.T) {
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		switch {
		case v.Type() == reflect.TypeFor[twofa.Secret]():
			require.Equal(t, hush, v.Interface().(twofa.Secret).Reveal(), path)
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() {
					walk(path+"."+f.Name, v.Field(i))
				}
			}
		case v.Kind() == reflect.Slice && v.Type().Elem() == reflect.TypeFor[twofa.Secret]():
			require.NotZero(t, v.Len(), path)
			walk(path, v.Index(0))
		}
	}
	for name, v := range exported(t) {
		walk(name, reflect.ValueOf(v))
	}
}

// prints writes a value in every way that a host might, by itself and inside
// other values.
func prints(v any) string {
	var b strings.Builder
	ptr := reflect.New(reflect.TypeOf(v))
	ptr.Elem().Set(reflect.ValueOf(v))
	p := ptr.Interface()
	shapes := []any{v, p, &p, []any{v}, [1]any{p}, map[string]any{"k": v}, struct{ V any }{v}, &struct{ V any }{p}}
	for _, shape := range shapes {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%-20v", "%p", "%T", "%c", "%U", "%e", "%b", "%o", "%w", "%z"} {
			fmt.Fprintf(&b, verb+"\n", shape)
		}
		b.WriteString(fmt.Sprint(shape) + fmt.Sprintln(shape))
		text, err := json.Marshal(shape)
		fmt.Fprintln(&b, string(text), err)
		text, err = xml.Marshal(shape)
		fmt.Fprintln(&b, string(text), err)
		err = gob.NewEncoder(&b).Encode(shape)
		fmt.Fprintln(&b, err)
		opts := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, opts), slog.NewJSONHandler(&b, opts)} {
			l := slog.New(h)
			l.Debug("m", "v", shape, slog.Group("g", "v", shape))
			l.With("v", shape).Debug(fmt.Sprint(shape))
		}
		fmt.Fprintln(&b, fmt.Errorf("wrapped: %v", shape))
	}
	return b.String()
}

// forms returns the ways in which a text can appear inside another.
func forms(text string) []string {
	return []string{text, hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))),
		base64.RawStdEncoding.EncodeToString([]byte(text)), base64.RawURLEncoding.EncodeToString([]byte(text)),
		fmt.Sprint([]byte(text)), url.QueryEscape(text)}
}

func TestAbuse_Q05_NoExportedTypePrintsItsSecrets(t *testing.T) {
	for name, v := range exported(t) {
		t.Run(name, func(t *testing.T) {
			out := prints(v)
			for _, form := range forms(hush) {
				require.False(t, strings.Contains(out, form), "as %q", form)
			}
		})
	}
}

// A type that promises not to print its secrets keeps the promise even if fmt
// cannot call its methods, as in an unexported field of another struct.
func TestAbuse_Q05_UnexportedFieldsPrintNoSecrets(t *testing.T) {
	secret, challenge, session := twofa.NewSecret(hush), twofa.ParseChallenge(hush), twofa.ParseSession(hush)
	keys := exported(t)["KeyRing"].(twofa.KeyRing)
	type inner struct {
		secret     twofa.Secret
		pointer    *twofa.Secret
		list       []twofa.Secret
		table      map[string]twofa.Secret
		challenge  twofa.Challenge
		session    twofa.Session
		login      twofa.Result
		caller     twofa.Caller
		enrollment twofa.Enrollment
		keys       twofa.KeyRing
		proof      twofa.Proof
		email      twofa.Email
		text       *twofa.TextMessage
	}
	in := inner{secret, &secret, []twofa.Secret{secret}, map[string]twofa.Secret{"k": secret}, challenge, session,
		twofa.Result{Session: session, Challenge: challenge, Browser: secret}, twofa.Caller{Session: session},
		twofa.Enrollment{URI: secret, Key: secret, Codes: []twofa.Secret{secret}}, keys,
		twofa.Proof{Code: secret}, twofa.Email{Text: secret, HTML: secret}, &twofa.TextMessage{Body: secret}}
	out := prints(in) + prints(struct{ in *inner }{&in}) + prints([]inner{in})
	for _, form := range forms(hush) {
		require.NotContains(t, out, form)
	}
}

// An encoder or a template that reads fields by reflection, even unexported ones and
// functions, does not reach a secret without calling Reveal.
func TestAbuse_Q05_ReflectionReachesNoSecrets(t *testing.T) {
	var b strings.Builder
	seen := map[uintptr]bool{}
	var walk func(v reflect.Value, depth int)
	walk = func(v reflect.Value, depth int) {
		if depth > 12 || !v.IsValid() {
			return
		}
		switch v.Kind() {
		case reflect.String:
			fmt.Fprintln(&b, v.String())
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), depth+1)
			}
		case reflect.Pointer, reflect.Interface:
			if v.Kind() == reflect.Pointer && (v.IsNil() || seen[v.Pointer()]) {
				return
			}
			if v.Kind() == reflect.Pointer {
				seen[v.Pointer()] = true
			}
			walk(v.Elem(), depth+1)
		case reflect.Slice, reflect.Array:
			if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
				fmt.Fprintln(&b, string(v.Bytes()))
				return
			}
			for i := range v.Len() {
				walk(v.Index(i), depth+1)
			}
		case reflect.Map:
			for _, key := range v.MapKeys() {
				walk(key, depth+1)
				walk(v.MapIndex(key), depth+1)
			}
		case reflect.Func:
			fmt.Fprintln(&b, v.CanInterface() && v.Type().NumIn() == 0)
		}
	}
	for _, name := range []string{"Proof", "Email", "TextMessage", "Secret", "Session", "Challenge", "Result", "Caller", "Client", "Enrollment", "CodeText", "LinkEmail", "LinkRequest", "KeyRing"} {
		walk(reflect.ValueOf(exported(t)[name]), 0)
	}
	require.NotContains(t, b.String(), "true", "a function in an exported field returns a secret")
	for _, form := range forms(hush) {
		require.NotContains(t, b.String(), form)
	}
}

func TestAbuse_Q05_MarshalingASecretFails(t *testing.T) {
	for _, v := range []any{twofa.NewSecret(hush), twofa.ParseSession(hush), twofa.ParseChallenge(hush), twofa.Result{Browser: twofa.NewSecret(hush)},
		twofa.Enrollment{}, exported(t)["KeyRing"], twofa.Email{}, twofa.TextMessage{}, twofa.Proof{}} {
		_, err := json.Marshal(v)
		require.Error(t, err, "%T", v)
	}
}

// everything collects what a host sees: its log at debug level, events, errors,
// and results.
type everything struct {
	mu  sync.Mutex
	log bytes.Buffer
}

func (e *everything) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.Write(p)
}

func TestAbuse_Q01_I12_LogsEventsAndErrorsContainNoSecret(t *testing.T) {
	seen := &everything{}
	log := slog.New(slog.NewJSONHandler(seen, &slog.HandlerOptions{Level: slog.LevelDebug}))
	bad := &sender{}
	w, store := newFault(t, func(c *twofa.Config) {
		c.Logger, c.Mail.Mailer, c.SMS.Sender, c.Mail.NoticeEmail, c.Recovery.Viewable = log, bad, bad, nil, true
		c.Policy = twofa.PolicySMS()
		c.OnEvent = func(_ context.Context, e twofa.Event) { log.Debug("event", "event", e) }
	})
	w.out = &bad.Outbox
	var secrets []string
	note := func(list ...string) { secrets = append(secrets, list...) }
	look := func(v any, err error) error {
		log.Debug("result", "value", v, "error", err)
		fmt.Fprintf(seen, "%+v %v\n", v, err)
		return err
	}
	took := func(p *person, l twofa.Result, err error) error {
		note(l.Session.Reveal(), l.Challenge.Reveal(), l.Browser.Reveal())
		return look(l, p.took(l, err))
	}

	ada := w.person("ada")
	note(ada.client.Browser.Reveal())
	l, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: ada.client})
	require.NoError(t, took(ada, l, err))
	l, err = w.Send(t.Context(), ada.client, ada.login.Challenge, twofa.EmailLink)
	require.NoError(t, took(ada, l, err))
	note(ada.token())
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
	e, err := w.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	require.NoError(t, look(e, err))
	ada.uri = e.URI.Reveal()
	ada.keep(e)
	note(e.URI.Reveal(), e.Key.Reveal(), strings.ReplaceAll(e.Key.Reveal(), " ", ""))
	note(ada.codes...)
	l, err = w.Confirm(t.Context(), ada.caller(), ada.code())
	require.NoError(t, took(ada, l, err))
	l, err = w.SaveCodes(t.Context(), ada.caller())
	require.NoError(t, took(ada, l, err))
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	codes, err := w.RecoveryCodes(t.Context(), ada.caller())
	require.NoError(t, look(codes, err))
	e, err = w.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone})
	require.NoError(t, look(e, err))
	note(adasPhone, adasPhone[1:], w.out.TextCode(t, adasPhone))
	caller := ada.caller()
	caller.Challenge = e.Challenge
	l, err = w.Confirm(t.Context(), caller, w.out.TextCode(t, adasPhone))
	require.NoError(t, took(ada, l, err))

	for _, do := range []func(context.Context, func() error) error{nil, badSenders[0].do, badSenders[2].do} {
		bad.do = do
		w.clock.Add(time.Hour)
		other := ada.browser("laptop")
		l, err = w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: other.client})
		require.NoError(t, took(other, l, err))
		code := other.code()
		note(code)
		_ = look(w.Verify(t.Context(), other.caller(), other.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret("000000")}))
		_ = look(w.Verify(t.Context(), other.caller(), other.login.Challenge, twofa.Proof{Method: twofa.RecoveryCode, Code: twofa.NewSecret(ada.codes[0])}))
		store.Refuse = func(twofa.Record) error { return errFault }
		_ = look(w.Verify(t.Context(), other.caller(), other.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)}))
		store.Refuse = nil
		_ = look(w.Send(t.Context(), other.client, other.login.Challenge, twofa.SMS))
		store.Mangle = func(r *twofa.Record) { r.Data = r.Data[:10] }
		_ = look(nil, w.Check(t.Context(), ada.caller()))
		store.Mangle = nil
	}
	f, err := w.Factors(t.Context(), ada.caller())
	require.NoError(t, look(f, err))
	_ = look(w.Browsers(t.Context(), ada.caller()))
	_ = look(w.DescribeSession(ada.session))

	require.Greater(t, seen.log.Len(), 5_000)
	for _, secret := range slices.DeleteFunc(secrets, func(s string) bool { return s == "" }) {
		require.NotContains(t, seen.log.String(), secret)
	}
}

func TestAbuse_Q02_StoreContainsNoPlainSecret(t *testing.T) {
	for _, viewable := range []bool{false, true} {
		w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.PolicySMS(); c.Recovery.Viewable = viewable })
		ada := w.person("ada")
		ada.begin()
		require.NoError(t, ada.send(twofa.EmailLink))
		require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
		e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
		require.NoError(t, err)
		pending := string(w.record("ada"))
		ada.keep(e)
		ada.uri = e.URI.Reveal()
		require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), ada.code())))
		require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
		key := strings.ReplaceAll(e.Key.Reveal(), " ", "")
		raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(key)
		require.NoError(t, err)
		secrets := append(forms(key), forms(string(raw))...)
		for _, code := range ada.codes {
			plain := strings.ReplaceAll(code, "-", "")
			for _, spelling := range []string{code, plain, strings.ToLower(code), strings.ToLower(plain)} {
				secrets = append(secrets, forms(spelling)...)
			}
		}
		for _, stored := range []string{pending, string(w.record("ada"))} {
			for _, s := range secrets {
				require.NotContains(t, stored, s)
			}
			require.True(t, strings.HasPrefix(stored, "2 test1\n"), "sealed under the ID of the key")
		}
		require.Contains(t, w.opened("ada"), key, "the decrypted record contains the key")
	}
}

func TestAbuse_Q03_KeysRotate(t *testing.T) {
	const one, two = "one:etAuGkijuh1H6cRASVa6KZz8m+zfCbCpCRXkgM9d+PE=", "two:KtC2GuNubt7jh1Nbg7mJLTdBgSI9cexpx2l6cs13vFo="
	ring := func(text string) twofa.KeyRing {
		keys, err := twofa.ParseKeyRing(text)
		require.NoError(t, err)
		return keys
	}
	w := newWorld(t, func(c *twofa.Config) { c.Keys = ring(one) })
	ada := w.enrolled("ada")
	for _, step := range []string{one + "," + two, two + "," + one} {
		w.cfg.Keys = ring(step)
		w.Manager = w.again()
		require.NoError(t, ada.Check(t.Context(), ada.caller()), "sessions stay valid")
		again := ada.browser("laptop")
		again.begin()
		require.NoError(t, again.verify(twofa.TOTP, again.code()))
	}
	require.True(t, strings.HasPrefix(string(w.record("ada")), "2 two\n"), "the first key of the ring seals new records")
	w.cfg.Keys = ring(one) // removed too early, or the wrong key
	w.Manager = w.again()
	err := ada.took(w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: ada.client}))
	var record *twofa.RecordError
	require.ErrorAs(t, err, &record)
	require.ErrorIs(t, err, twofa.ErrUnavailable)
}

func TestAbuse_Q04_NoncesNeverRepeatAndEveryByteIsAuthenticated(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	id, encoded, _ := strings.Cut(keyText, ":")
	key, err := seal.ParseKey(id, encoded)
	require.NoError(t, err)
	nonces := map[string]bool{}
	for range 10_000 {
		nonces[string(seal.Seal(make([]byte, seal.NonceSize), 0, key.Tokens)[:seal.NonceSize])] = true
	}
	require.Len(t, nonces, 10_000)

	ada.begin()
	text := ada.login.Challenge.Reveal()
	for i := range text {
		for c := range 256 { // some bits of the last character encode nothing
			if text[i] == byte(c) || c%16 != 0 && c != '\n' && i < len(text)-4 {
				continue
			}
			forged := []byte(text)
			forged[i] = byte(c)
			_, err := w.DescribeChallenge(t.Context(), ada.client, twofa.ParseChallenge(string(forged)))
			require.ErrorIs(t, err, twofa.ErrExpired, "byte %d as %q", i, c)
		}
	}
}

// A token has one spelling, one purpose and one user.
func TestAbuse_Q04_TokensAreNotMalleable(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	ada.begin()
	challenge, session := ada.login.Challenge.Reveal(), ada.session.Reveal()
	id, body, _ := strings.Cut(challenge, ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	require.NoError(t, err)
	other := newWorld(t, func(c *twofa.Config) { c.Keys = twofatest.KeyRing(t, "b") })
	foreign := other.enrolled("ada")
	foreign.begin()
	for name, text := range map[string]string{
		"cut":               challenge[:len(challenge)-1],
		"cut by a group":    challenge[:len(challenge)-4],
		"longer":            challenge + "AAAA",
		"padded":            id + "." + base64.URLEncoding.EncodeToString(raw) + "=",
		"standard alphabet": id + "." + base64.StdEncoding.EncodeToString(raw) + "==",
		"hexadecimal":       id + "." + hex.EncodeToString(raw),
		"line break":        challenge[:60] + "\n" + challenge[60:],
		"CRLF at the end":   challenge + "\r\n",
		"space before":      " " + challenge,
		"NUL after":         challenge + "\x00",
		"no id":             "." + body,
		"another id":        "other." + body,
		"twice":             challenge + "." + body,
		"a session":         session,
		"of another ring":   foreign.login.Challenge.Reveal(),
		"enormous":          strings.Repeat(challenge, 100),
		"empty":             "",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Verify(t.Context(), ada.caller(), twofa.ParseChallenge(text), twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(ada.now())})
			require.ErrorIs(t, err, twofa.ErrExpired)
			if text != session {
				notSignedIn(t, w.Check(t.Context(), twofa.Caller{Session: twofa.ParseSession(text), Client: ada.client}))
			}
			if text != session {
				_, err = w.Enroll(t.Context(), twofa.Caller{Challenge: twofa.ParseChallenge(text), Client: ada.client}, twofa.EnrollRequest{})
				denied(t, err, twofa.ReasonSignedOut)
			}
		})
	}
	t.Run("a challenge is no session and opens no enrollment", func(t *testing.T) {
		denied(t, w.Check(t.Context(), twofa.Caller{Session: twofa.ParseSession(challenge), Client: ada.client}), twofa.ReasonSignedOut)
		_, err := w.Enroll(t.Context(), twofa.Caller{Challenge: twofa.ParseChallenge(challenge), Client: ada.client}, twofa.EnrollRequest{})
		denied(t, err, twofa.ReasonSignedOut)
		_, err = w.DescribeSession(twofa.ParseSession(challenge))
		denied(t, err, twofa.ReasonSignedOut)
	})
	t.Run("a step-up is no new login either", func(t *testing.T) {
		l, err := w.StepUp(t.Context(), ada.caller(), export, "")
		require.NoError(t, err)
		l, err = w.Verify(t.Context(), ada.caller(), l.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(ada.code())})
		require.NoError(t, err)
		before, err := w.DescribeSession(ada.session)
		require.NoError(t, err)
		after, err := w.DescribeSession(l.Session)
		require.NoError(t, err)
		require.Equal(t, before.ID, after.ID)
	})
}

func TestAbuse_Q07_WeakKeysAreRefused(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	good := "k:" + b64([]byte("0123456789abcdefGHIJKLMNOPQRSTU\xff"))
	_, err := twofa.ParseKeyRing(good)
	require.NoError(t, err)
	for name, text := range map[string]string{
		"nothing": "", "no id": b64(make([]byte, 32)), "empty key": "k:", "16 bytes": "k:" + b64([]byte("0123456789abcdef")),
		"31 bytes": "k:" + b64([]byte("0123456789abcdefGHIJKLMNOPQRST\xff")), "33 bytes": "k:" + b64([]byte("0123456789abcdefGHIJKLMNOPQRSTUV\xff")),
		"zeros": "k:" + b64(make([]byte, 32)), "one word again and again": "k:" + b64([]byte(strings.Repeat("password", 4))),
		"typed": "k:" + b64([]byte("this is a secret key for our app")), "typed as base64": "k:thisisthesecretkeyofoursecondfactorpleasekee",
		"typed in capitals": "k:THISISTHESECRETKEYOFOURSECONDFACTORPLEASEKEE", "hex": "k:" + b64([]byte("0123456789abcdef0f1e2d3c4b5a6978")),
		"not base64": "k:!!!!", "the same id twice": good + "," + good, "the same key twice": good + ",l" + good[1:],
		"id with a dot": "a.b:" + good[2:], "long id": strings.Repeat("k", 17) + good[1:], "comma at the end": good + ",",
	} {
		_, err := twofa.ParseKeyRing(text)
		require.Error(t, err, name)
		if len(text) > 8 {
			require.NotContains(t, err.Error(), text[4:], "the error does not repeat a key")
		}
	}
}

// Each important action is one event of its own type, with method and place,
// and without a secret.
func TestAbuse_Q09_EveryImportantActionIsAnEvent(t *testing.T) {
	w := newWorld(t, remembering)
	ada := w.enrolled("ada")
	expect := func(what string, want []string, do func()) {
		t.Helper()
		w.events = nil
		do()
		require.Equal(t, want, w.types(), what)
		for _, e := range w.events {
			require.NotEmpty(t, e.ID)
			require.Equal(t, "ada", e.User)
			require.Equal(t, w.clock.Now().Truncate(time.Second), e.Time)
			if e.Actor == (twofa.EventActor{}) {
				require.Equal(t, ada.client.IP, e.IP, "%s: the place", what)
				require.Equal(t, ada.client.UserAgent, e.Agent, what)
			}
		}
	}
	ok := func(err error) { t.Helper(); require.NoError(t, err) }
	require.Equal(t, []string{event.Login, event.EnrollmentStarted, event.CodesGenerated, event.Enrolled}, w.types())

	other := ada.browser("laptop")
	other.begin()
	var code string
	expect("failure", []string{event.Failed}, func() { _ = other.verify(twofa.TOTP, other.wrongCode(twofa.TOTP)) })
	expect("login, and a browser remembered", []string{event.Login, event.BrowserTrusted}, func() {
		code = other.code()
		ok(other.took(w.Verify(t.Context(), other.caller(), other.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code), Remember: true})))
	})
	require.Equal(t, twofa.TOTP, w.events[0].Method)
	third := ada.browser("tablet")
	third.begin()
	expect("reuse", []string{event.Reused}, func() { _ = third.verify(twofa.TOTP, code) })
	for range 3 {
		_ = third.verify(twofa.TOTP, third.wrongCode(twofa.TOTP))
	}
	expect("lock", []string{event.Locked}, func() { _ = third.verify(twofa.TOTP, third.wrongCode(twofa.TOTP)) })
	expect("nothing while locked", nil, func() { _ = third.verify(twofa.TOTP, third.wrongCode(twofa.TOTP)) })
	w.clock.Add(time.Hour)
	expect("step-up", []string{event.StepUp}, func() { ok(ada.stepUp(twofa.ActionFactors)) })
	f, err := ada.Factors(t.Context(), ada.caller())
	ok(err)
	expect("another name", []string{event.Renamed}, func() { ok(ada.Rename(t.Context(), ada.caller(), f.List[0].ID, "mine")) })
	expect("new codes", []string{event.EnrollmentStarted, event.CodesGenerated}, func() {
		e, err := ada.RegenerateCodes(t.Context(), ada.caller())
		ok(err)
		ada.keep(e)
		ok(ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	})
	expect("browser revoked", []string{event.BrowserRevoked}, func() { ok(ada.ForgetBrowsers(t.Context(), ada.caller())) })
	w.clock.Add(30 * time.Second)
	expect("replaced", []string{event.EnrollmentStarted, event.Replaced}, func() {
		e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Replaces: f.List[0].ID})
		ok(err)
		ada.uri = e.URI.Reveal()
		ok(ada.took(ada.Confirm(t.Context(), ada.caller(), ada.now())))
	})
	expect("proof and action", []string{event.StepUp, event.ActionUsed}, func() {
		ok(ada.stepUp(export))
		ok(ada.use(export, ""))
	})
	require.Equal(t, export, w.events[1].Detail)
	w.clock.Add(time.Hour)
	third.begin()
	expect("recovery", []string{event.RecoveryUsed, event.Login}, func() { ok(third.verify(twofa.RecoveryCode, ada.codes[0])) })
	require.Equal(t, 9, w.events[0].Left)
	expect("signed out everywhere", []string{event.Revoked}, func() { ok(w.User(twofa.AsUser(ada.caller(), ""), "ada").Revoke(t.Context())) })
	expect("password", []string{event.Credentials}, func() { ok(w.User(twofa.AsHost("reset"), "ada").CredentialsChanged(t.Context())) })
	require.Equal(t, "host", w.events[0].Actor.Kind)
	last := ada.browser("desk")
	last.begin()
	ok(last.verify(twofa.TOTP, last.code()))
	ok(last.stepUp(twofa.ActionFactors))
	expect("off", []string{event.Removed, event.TurnedOff}, func() {
		f, err := last.Factors(t.Context(), last.caller())
		ok(err)
		ok(last.Remove(t.Context(), last.caller(), f.List[0].ID))
	})
	expect("revoked", []string{event.Revoked}, func() { ok(w.User(twofa.AsHost("ticket 7"), "ada").Revoke(t.Context())) })
	require.Equal(t, "ticket 7", w.events[0].Reason)
	expect("erased", []string{event.Erased}, func() { ok(w.User(twofa.AsHost("left"), "ada").Delete(t.Context())) })
}
