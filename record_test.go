package twofa

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/locale"
)

// filled returns a value with a different value in every field.
func filled[T any]() *T {
	v, n := new(T), 0
	fill(reflect.ValueOf(v).Elem(), &n)
	return v
}

func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString("text " + strconv.Itoa(*n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n) << (*n % 40))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range 2 {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value, n)
			v.SetMapIndex(reflect.ValueOf("key "+strconv.Itoa(i)), value)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[seal.Unknown]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic(v.Kind().String() + " is not filled yet")
	}
}

func TestEveryFieldIsStored(t *testing.T) {
	kept := func(v, back seal.Message) {
		t.Helper()
		require.NoError(t, seal.Decode(encoded(v), back))
		require.Equal(t, v, back)
	}
	kept(filled[userRecord](), &userRecord{})
	kept(filled[accountRecord](), &accountRecord{})
	kept(filled[numberRecord](), &numberRecord{})
	kept(filled[configRecord](), &configRecord{})
	kept(filled[cutoffRecord](), &cutoffRecord{})

	kept(&heldForm{challenge: "c", url: "u", page: "p", body: "b"}, &heldForm{})

	full := fullTicket()
	for i, v := 0, reflect.ValueOf(full); i < v.NumField(); i++ {
		require.Equal(t, v.Type().Field(i).Name == "Unknown", v.Field(i).IsZero(), v.Type().Field(i).Name)
	}
	kept(&full, &ticket{})
}

func fullTicket() ticket {
	return ticket{purpose: forAction, id: "i", sessionID: "s", user: "u", account: "a", epoch: "e", stamp: "t", first: []firstFactor{{by: BySSO, providerOf: "o", at: 1}}, members: "m", joined: []unixTime{7}, started: 1, expires: 1 << 40,
		proven: []provenMethod{{method: TOTP, at: 5}, {method: rememberedBrowserMethod(SMS), at: -7, elevate: true}}, ends: 2, browser: "b", host: "h", action: "c", resource: "r", messageID: "x", messageMethod: SMS, messageKey: "k", replaces: "old", form: "f"}
}

// A factor that this release cannot check counts as enrolled. The user is asked
// for another factor or a recovery code, and is otherwise refused, but never let
// in and never sent to enrollment, whatever the policy.
func TestAbuse_R01_FactorThatCannotBeCheckedCountsAsEnrolled(t *testing.T) {
	key := totpParams{Key: "GAYTEMZUGU3DOOBZMFRGGZDFMY======", Algorithm: "SHA1", Digits: 6, Period: 30}
	without := func(change func(*totpParams)) []factor {
		a := key
		change(&a)
		return []factor{{ID: "f", Method: TOTP, App: a}}
	}
	passkey, app, phone := factor{ID: "p", Method: "webauthn"}, factor{ID: "f", Method: TOTP, App: key}, factor{ID: "n", Method: SMS, Phone: "+41791234567"}
	codes := &codeSet{Key: "k", Hashes: strings.Repeat("x", recoveryHashLen), Total: 1}
	for name, c := range map[string]struct {
		record userRecord
		ask    []Method // nil: refused
	}{
		"a factor of a later release":    {userRecord{Factors: []factor{passkey}}, nil},
		"and an app":                     {userRecord{Factors: []factor{app, passkey}}, []Method{TOTP}},
		"and recovery codes":             {userRecord{Factors: []factor{passkey}, Codes: codes}, []Method{RecoveryCode}},
		"and both":                       {userRecord{Factors: []factor{passkey, app}, Codes: codes}, []Method{TOTP, RecoveryCode}},
		"a factor without a method":      {userRecord{Factors: []factor{{ID: "f", App: key}}}, nil},
		"an app without a key":           {userRecord{Factors: []factor{{ID: "f", Method: TOTP}}}, nil},
		"an app of another hash":         {userRecord{Factors: without(func(a *totpParams) { a.Algorithm = "SHA3" })}, nil},
		"an app without digits":          {userRecord{Factors: without(func(a *totpParams) { a.Digits = 0 })}, nil},
		"an app of no period":            {userRecord{Factors: without(func(a *totpParams) { a.Period = 0 })}, nil},
		"an app of an endless period":    {userRecord{Factors: without(func(a *totpParams) { a.Period = 1 << 40 })}, nil},
		"a phone without a number":       {userRecord{Factors: []factor{{ID: "f", Method: SMS}}}, nil},
		"a phone, but no gateway":        {userRecord{Factors: []factor{phone}}, nil},
		"a phone and an app, no gateway": {userRecord{Factors: []factor{phone, app}}, []Method{TOTP}},
	} {
		for policyName, policy := range map[string]Policy{"optional": PolicyOptional(), "authenticator": PolicyAuthenticator(), "links": PolicyEmailLink()} {
			t.Run(name+"/"+policyName, func(t *testing.T) {
				keys := fuzzKeys(t)
				c.record.Epoch = "e"
				stored, err := keys.encode(userKey("ada"), &c.record)
				require.NoError(t, err)
				m, err := New(Config{Issuer: "Acme", Store: &oneRecord{r: stored}, Keys: keys, Policy: policy,
					Mail: MailConfig{Mailer: nowhere{}, LinkURL: func(l LinkRequest) string { return "https://app.example.com/" + l.Token.Reveal() }},
					Directory: LookUp(func(context.Context, string) (User, error) {
						return User{ID: "ada", Emails: []string{"ada@example.com"}}, nil
					})})
				require.NoError(t, err)
				login, err := m.Begin(t.Context(), FirstFactor{UserID: "ada", By: ByPassword})
				ask := c.ask
				if policyName == "links" && len(c.record.Factors) == 1 && c.record.Factors[0].Method == SMS {
					ask = []Method{EmailLink} // the policy accepts no phone, so it asks for a link anywhere
				}
				if ask == nil {
					require.ErrorIs(t, err, ErrUnavailable)
					require.Empty(t, login)
					return
				}
				require.NoError(t, err)
				require.Equal(t, NextChallenge, login.Next)
				require.Equal(t, ask, login.Methods)
			})
		}
	}
}

type nowhere struct{}

func (nowhere) SendMail(context.Context, Email) error { return nil }

// A record of a newer release with a restriction is refused with an error that
// says what this one does not know. An older one without an epoch is not let in
// either.
func TestAbuse_R01_RestrictionOfALaterReleaseIsRefused(t *testing.T) {
	keys := fuzzKeys(t)
	begin := func(t *testing.T, key, plain string) error {
		t.Helper()
		version := "v"
		r := Record{Key: key, Version: version, Data: sealedAs(keys.all()[0], recordFormat+" k1", plain, key, version)}
		m, err := New(Config{Issuer: "Acme", Store: &oneRecord{r: r}, Keys: keys,
			Directory: LookUp(func(context.Context, string) (User, error) {
				return User{ID: "ada", Members: []Member{{Account: "acme"}}}, nil
			})})
		require.NoError(t, err)
		login, err := m.Begin(t.Context(), FirstFactor{UserID: "ada", Account: "acme", By: ByPassword})
		require.Empty(t, login)
		require.ErrorIs(t, err, ErrUnavailable)
		var record *RecordError
		require.ErrorAs(t, err, &record)
		require.Equal(t, key, record.Key)
		return err
	}
	user, account := encoded(&userRecord{Epoch: "e"}), encoded(&accountRecord{Policy: storePolicy(PolicyOptional(), nil)})
	require.ErrorContains(t, begin(t, "user/ada", user+"\x88\x40\x01"), "field 1025")
	require.ErrorContains(t, begin(t, "account/acme", account+"\x88\x40\x01"), "field 1025")
	require.ErrorContains(t, begin(t, "user/ada", ""), "has no epoch")
	for _, p := range []Policy{{Methods: []Method{TOTP, "webauthn"}}, {Fallback: []Method{"webauthn"}}, {TurnOff: "nobody"},
		{Actions: map[string]ActionRule{"export": {Methods: []Method{"webauthn"}}}}} {
		require.ErrorContains(t, begin(t, "account/acme", encoded(&accountRecord{Policy: storePolicy(p, nil)})), "which this release does not know")
	}
}

// A stored value that today's rules would refuse is still in force: a later
// release may tighten a rule and must not lock accounts out.
func TestPolicy_StoredIsNotJudgedAgain(t *testing.T) {
	keys := fuzzKeys(t)
	old := Policy{Methods: []Method{TOTP}, Required: true, Remember: 400 * day, Actions: map[string]ActionRule{"export": {MaxAge: 48 * time.Hour}}}
	require.Error(t, old.validate())
	r, err := keys.encode("account/acme", &accountRecord{Policy: storePolicy(old, nil)})
	require.NoError(t, err)
	m, err := New(Config{Issuer: "Acme", Store: &oneRecord{r: r}, Keys: keys, Directory: LookUp(func(context.Context, string) (User, error) { return User{ID: "ada"}, nil })})
	require.NoError(t, err)
	info, err := m.Account(AsHost("test"), "acme").Policy(t.Context())
	require.NoError(t, err)
	require.Equal(t, old, info.Policy)
}

// A phone has no key, so a code computed from an empty key proves nothing.
func TestAbuse_D16_PhoneIsNoAuthenticator(t *testing.T) {
	cfg := TOTPConfig{}
	cfg.setDefaults()
	now := time.Unix(1_700_000_000, 0)
	s := &userTx{m: &Manager{cfg: Config{TOTP: cfg}}, now: unixTimeOf(now)}
	empty := totpParams{Key: "", Algorithm: "SHA1", Digits: 6, Period: 30}
	s.Factors = []factor{{ID: "f", Method: SMS, App: empty, Phone: "+41791234567"}}
	require.Equal(t, wrong, s.tryTOTP(string(empty.code(empty.step(unixTimeOf(now))))))
}

// No plain part of a record can be changed, and nothing sealed for one purpose
// opens for another.
func TestAbuse_Q04_ContextIsAuthenticated(t *testing.T) {
	keys := fuzzKeys(t)
	key := keys.all()[0]
	r, err := keys.encode("user/ada", fullRecord())
	require.NoError(t, err)
	header, sealed, _ := strings.Cut(string(r.Data), "\n")
	require.Equal(t, "2 k1", header)
	_, err = seal.Open([]byte(sealed), key.Records, header, r.Key, r.Version)
	require.NoError(t, err)
	for _, context := range [][]string{{"1 k1", r.Key, r.Version}, {"2 k2", r.Key, r.Version}, {header, "user/bob", r.Version}, {header, r.Key, "v"},
		{header, r.Key + r.Version}, {header + r.Key, r.Version}, {header, r.Key, r.Version, ""}, {header, r.Key}, {}} {
		_, err = seal.Open([]byte(sealed), key.Records, context...)
		require.Error(t, err, context)
	}
	_, err = seal.Open([]byte(sealed), key.Tokens, header, r.Key, r.Version)
	require.Error(t, err, "tokens have a key of their own")

	_, body, _ := strings.Cut(keys.sealTicket(fullTicket()).Reveal(), ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	require.NoError(t, err)
	_, err = seal.Open(raw, key.Tokens, tokenFormat, key.ID)
	require.NoError(t, err)
	for _, context := range [][]string{{recordFormat, key.ID}, {tokenFormat, "k2"}, {key.ID}, {}} {
		_, err = seal.Open(raw, key.Tokens, context...)
		require.Error(t, err, context)
	}
	_, err = seal.Open(raw, key.Records, tokenFormat, key.ID)
	require.Error(t, err)
}

// sealed returns user/ada as a release with another format but the same keys
// would write it.
func sealed(key seal.Key, header, body, version string) []byte {
	return sealedAs(key, header, body, "user/ada", version)
}

func sealedAs(key seal.Key, header, body, name, version string) []byte {
	buf := append([]byte(header+"\n"), make([]byte, seal.NonceSize)...)
	return seal.Seal(append(buf, body...), len(header)+1, key.Records, header, name, version)
}

func TestAbuse_R01_OtherFormatsAreRefused(t *testing.T) {
	keys := fuzzKeys(t)
	key := keys.all()[0]
	body := encoded(fullRecord())
	const format = "has a format that this release does not read"
	for data, want := range map[string]string{
		string(sealed(key, "2 k1", body, "v")):        "",
		string(sealed(key, "1 k1", body, "v")):        format,
		string(sealed(key, "3 k1", body, "v")):        format,
		string(sealed(key, "20 k1", body, "v")):       format,
		string(sealed(key, "", body, "v")):            format,
		string(sealed(key, "2 k2", body, "v")):        "is sealed with a key that is not in the ring",
		string(sealed(key, "2 k1 ", body, "v")):       "is sealed with a key that is not in the ring",
		string(sealed(key, "2 k1", body+"\x00", "v")): "malformed",
		string(sealed(key, "2 k1", body[1:], "v")):    "malformed",
		string(sealed(key, "2 k1", body, "w")):        "does not authenticate",
		string(sealed(key, "2 k1", body, "v")[:20]):   "does not authenticate",
		strings.Repeat("1", 20):                       "has no header",
		"2 k1\n" + strings.Repeat("1", maxRecord):     "is too large",
	} {
		err := keys.decode(Record{Key: "user/ada", Version: "v", Data: []byte(data)}, &userRecord{})
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}

	full := fullTicket()
	token := func(plain string) Secret {
		sealed := seal.Seal(append(make([]byte, seal.NonceSize), plain...), 0, key.Tokens, tokenFormat, "k1")
		return NewSecret("k1." + base64.RawURLEncoding.EncodeToString(sealed))
	}
	_, err := keys.openTicket(token(encoded(&full)))
	require.NoError(t, err)
	_, err = keys.openTicket(token(encoded(&full) + "\x00"))
	require.ErrorIs(t, err, ErrExpired)
}

var updateGolden = flag.Bool("golden.update", false, "write testdata/format_2.json again; only before the first release")

type goldenFormat struct {
	Comment   string         `json:"comment"`
	Keys      string         `json:"keys"`
	Records   []goldenRecord `json:"records"`
	Session   string         `json:"session"`
	Challenge string         `json:"challenge"`
}

type goldenRecord struct {
	Key     string `json:"key"`
	Version string `json:"version"`
	Data    []byte `json:"data"`
}

// goldenKeys does not use ParseKeyRing, which refuses a key that is text.
func goldenKeys(t *testing.T, golden goldenFormat) KeyRing {
	id, text, _ := strings.Cut(golden.Keys, ":")
	key, err := seal.ParseKey(id, text)
	require.NoError(t, err)
	return KeyRing{func() []seal.Key { return []seal.Key{key} }}
}

// writeGolden writes records and tokens with a value in every field.
func writeGolden(t *testing.T, golden goldenFormat) {
	keys := goldenKeys(t, golden)
	for i, body := range goldenRecords() {
		r, err := keys.encode(golden.Records[i].Key, body)
		require.NoError(t, err)
		golden.Records[i] = goldenRecord(r)
	}
	session := fullTicket()
	session.purpose = forSession
	golden.Session, golden.Challenge = keys.sealTicket(session).Reveal(), keys.sealTicket(fullTicket()).Reveal()
	text, err := json.MarshalIndent(golden, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("testdata/format_2.json", append(text, '\n'), 0o644))
}

// What the first release wrote is read by every later one. The files are never
// changed after it; a later release adds files of its own.
func TestGolden(t *testing.T) {
	var golden goldenFormat
	text, err := os.ReadFile("testdata/format_2.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &golden))
	if *updateGolden {
		writeGolden(t, golden)
		return
	}
	keys := goldenKeys(t, golden)
	for i, want := range goldenRecords() {
		r := golden.Records[i]
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface().(recordBody)
		require.NoError(t, keys.decode(Record(r), got))
		require.Equal(t, want, got, r.Key)
	}
	session, challenge := fullTicket(), fullTicket()
	session.purpose = forSession
	for token, want := range map[string]ticket{golden.Session: session, golden.Challenge: challenge} {
		got, err := keys.openTicket(NewSecret(token))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}

	text, err = os.ReadFile("testdata/event_1.json")
	require.NoError(t, err)
	var e Event
	require.NoError(t, json.Unmarshal(text, &e))
	require.Equal(t, goldenEvent(), e)
	again, err := json.Marshal(e)
	require.NoError(t, err)
	require.JSONEq(t, string(text), string(again))

	text, err = os.ReadFile("testdata/policy_1.json")
	require.NoError(t, err)
	var p Policy
	require.NoError(t, json.Unmarshal(text, &p))
	require.Equal(t, goldenPolicy(), p)
	again, err = json.Marshal(p)
	require.NoError(t, err)
	require.JSONEq(t, string(text), string(again))
}

func goldenPolicy() Policy {
	return Policy{Methods: []Method{TOTP, SMS}, Fallback: []Method{SMS}, Required: true, EnrollWithoutLink: true, ExemptSSO: true, Remember: 30 * day, TurnOff: TurnOffByAdmin,
		Actions: map[string]ActionRule{"export": {MaxAge: time.Minute, Methods: []Method{TOTP}}}}
}

func goldenRecords() []recordBody {
	return []recordBody{fullRecord(), &accountRecord{Policy: storePolicy(goldenPolicy(), nil), Since: 1, ByKind: "staff", ByID: "s1", Audit: auditChain{ID: "c", Seq: 7, MAC: "m", At: 6}, Harder: 2, PolicyVersion: "v2", Summarized: 3},
		filled[numberRecord](), filled[configRecord](), filled[cutoffRecord]()}
}

func goldenEvent() Event {
	return Event{ID: "i", Seq: 3, Time: time.Unix(1_800_000_000, 0).UTC(), Type: "policy", User: "ada", Account: "acme", Actor: EventActor{"staff", "s1", "owner"},
		Method: TOTP, Session: "s", IP: "192.0.2.7", Agent: "Firefox", Request: "r1", Reason: "because", Case: "c1", Detail: "d",
		Before: json.RawMessage(`{"required":true}`), After: json.RawMessage("null"), Left: 9, Notice: true, MAC: []byte{1, 2, 3}}
}

// Hashes of text codes and recovery codes are keyed, with another key for each
// message and each set.
func TestAbuse_Q02_KeysOfHashesAreRandom(t *testing.T) {
	s := &userTx{m: &Manager{languages: locale.NewMatcher()}, user: "ada", now: unixTime(1)}
	s.m.cfg.setDefaults()
	seen := map[string]bool{"": true}
	fresh := func(key string) {
		t.Helper()
		require.False(t, seen[key])
		seen[key] = true
	}
	for range 10 {
		var to ticket
		x := message{ID: "one"}
		s.composeText(User{}, &to, &x, Phone{E164: "+41791234567"}, budgetKnown)
		fresh(to.messageKey)
		fresh(x.Hash)
		set := s.newCodeSet([]string{"CODE"})
		fresh(set.Key)
		fresh(set.Hashes)
	}
}

// A number is confirmed only by the code that was sent for this enrollment.
func TestAbuse_J07_CodeOfAnotherEnrollment(t *testing.T) {
	keys := fuzzKeys(t)
	s := &userTx{m: &Manager{cfg: Config{Keys: keys, Now: func() time.Time { return time.Unix(1, 0) }}, languages: locale.NewMatcher()}, user: "ada", now: unixTime(1)}
	s.m.cfg.setDefaults()
	to := ticket{purpose: forPhone, user: "ada", expires: 2}
	x := message{ID: "x", Method: SMS, Attempt: "this"}
	to.messageID = x.ID
	out := s.composeText(User{}, &to, &x, Phone{E164: "+41791234567"}, budgetUnconfirmed)
	code := out.text.Body.Reveal()[:textDigits]
	caller := Caller{Challenge: Challenge{keys.sealTicket(to)}}
	s.Pending = &pendingEnrollment{FactorID: "another"}
	s.Messages = []message{x}
	require.False(t, s.confirmsPhone(caller, code))
	s.Pending.FactorID = "this"
	require.True(t, s.confirmsPhone(caller, code))
}

// The library writes no event without a user or an account. If one is there even so,
// it is reported, because no record has the end of its chain.
func TestVerifyEvents_ChainsWithoutOwner(t *testing.T) {
	v := verifying{m: &Manager{}, reader: noEvents{}, chains: map[string]*verifiedChain{
		"whole":   {seq: 3},
		"gap":     {seq: 1, ahead: map[uint64]linked{3: {}}},
		"deleted": {seq: 2, deleted: true},
	}}
	require.NoError(t, v.records(t.Context()))
	require.ElementsMatch(t, []AuditProblem{{Kind: AuditNoRecord, Seq: 4}, {Kind: AuditMissing, Seq: 2}}, v.report.Problems)
}

type noEvents struct{}

func (noEvents) Events(context.Context, EventQuery) (EventPage, error) { return EventPage{}, nil }
