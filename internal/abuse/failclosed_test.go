package abuse

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/internal/harness"
)

func TestAbuse_R01_M07_UnreadableRecordIsRefused(t *testing.T) {
	of := func(prefix string) func([]string) error {
		return func(keys []string) error {
			for _, key := range keys {
				if strings.HasPrefix(key, prefix) {
					return errFault
				}
			}
			return nil
		}
	}
	mangled := func(prefix string, change func(*twofa.Record)) func(*twofa.Record) {
		return func(r *twofa.Record) {
			if strings.HasPrefix(r.Key, prefix) {
				change(r)
			}
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*harness.FaultStore)
	}{
		{"user not read", func(s *harness.FaultStore) { s.Read = of("user/") }},
		{"policy not read", func(s *harness.FaultStore) { s.Read = of("account/") }},
		{"user empty", func(s *harness.FaultStore) { s.Mangle = mangled("user/", func(r *twofa.Record) { r.Data = nil }) }},
		{"user cut", func(s *harness.FaultStore) {
			s.Mangle = mangled("user/", func(r *twofa.Record) { r.Data = r.Data[:len(r.Data)-1] })
		}},
		{"user of another format", func(s *harness.FaultStore) {
			s.Mangle = mangled("user/", func(r *twofa.Record) { r.Data = append([]byte("3"), r.Data[1:]...) })
		}},
		{"user of another version", func(s *harness.FaultStore) { s.Mangle = mangled("user/", func(r *twofa.Record) { r.Version += "x" }) }},
		{"user without a version", func(s *harness.FaultStore) { s.Mangle = mangled("user/", func(r *twofa.Record) { r.Version = "" }) }},
		{"user under another key", func(s *harness.FaultStore) { s.Mangle = mangled("user/", func(r *twofa.Record) { r.Key = "user/bob" }) }},
		{"user far too large", func(s *harness.FaultStore) {
			s.Mangle = mangled("user/", func(r *twofa.Record) { r.Data = append(r.Data, make([]byte, 1<<17)...) })
		}},
		{"policy changed by hand", func(s *harness.FaultStore) {
			s.Mangle = mangled("account/", func(r *twofa.Record) { r.Data[len(r.Data)/2] ^= 1 })
		}},
		{"policy of another account", func(s *harness.FaultStore) {
			s.Mangle = mangled("account/", func(r *twofa.Record) { r.Key = "account/beta" })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, store := newFault(t)
			require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
			ada := w.enrolled("ada")
			ada.account = "acme"
			require.NoError(t, ada.stepUp(export))
			ada.begin()
			challenge, session := ada.login, ada.session
			c.spoil(store)

			err := ada.took(w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: ada.client}))
			require.ErrorIs(t, err, twofa.ErrUnavailable)
			ada.login, ada.session = challenge, session
			require.ErrorIs(t, ada.verify(twofa.TOTP, ada.code()), twofa.ErrUnavailable)
			require.ErrorIs(t, ada.verify(twofa.RecoveryCode, ada.codes[0]), twofa.ErrUnavailable)
			require.ErrorIs(t, ada.Check(t.Context(), ada.caller()), twofa.ErrUnavailable)
			require.ErrorIs(t, ada.use(export, ""), twofa.ErrUnavailable)
			_, err = ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
			require.ErrorIs(t, err, twofa.ErrUnavailable)

			store.Read, store.Mangle = nil, nil
			require.NoError(t, ada.use(export, ""), "nothing was used up")
		})
	}
}

func TestAbuse_R01_UnavailableDirectoryIsRefused(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	ada.begin()
	for name, lookup := range map[string]func(context.Context, string) (twofa.User, error){
		"error": func(context.Context, string) (twofa.User, error) {
			return twofa.User{ID: "ada", SecurityStamp: "1"}, errFault
		},
		"nobody":       func(context.Context, string) (twofa.User, error) { return twofa.User{}, nil },
		"another user": func(context.Context, string) (twofa.User, error) { return twofa.User{ID: "bob"}, nil },
		"disabled":     func(context.Context, string) (twofa.User, error) { return twofa.User{ID: "ada", Disabled: true}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			w.cfg.Directory = twofa.LookUp(lookup)
			m := w.again()
			_, err := m.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: ada.client})
			require.Error(t, err)
			_, err = m.Verify(t.Context(), ada.caller(), ada.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(ada.now())})
			require.Error(t, err)
		})
	}
}

func TestAbuse_R02_RightCodeIsRefusedIfItsWriteFails(t *testing.T) {
	for _, m := range []twofa.Method{twofa.TOTP, twofa.RecoveryCode} {
		w, store := newFault(t)
		ada := w.enrolled("ada")
		ada.begin()
		code := ada.codes[0]
		if m == twofa.TOTP {
			code = ada.code()
		}
		store.Refuse = func(twofa.Record) error { return errFault }
		l, err := w.Verify(t.Context(), ada.caller(), ada.login.Challenge, twofa.Proof{Method: m, Code: twofa.NewSecret(code)})
		require.ErrorIs(t, err, twofa.ErrUnavailable)
		require.Equal(t, twofa.Result{}, l)
		store.Refuse = nil
		require.NoError(t, ada.verify(m, code), "the code was not used up either")
	}
}

// While failures cannot be counted, the answer is the same for every code.
func TestAbuse_R03_NoAnswerWithoutItsCount(t *testing.T) {
	w, store := newFault(t)
	ada := w.enrolled("ada")
	ada.begin()
	store.Refuse = func(twofa.Record) error { return errFault }
	var answers []string
	for _, code := range []string{"000000", ada.code()} {
		err := ada.verify(twofa.TOTP, code)
		require.ErrorIs(t, err, twofa.ErrUnavailable)
		require.NotErrorIs(t, err, twofa.ErrInvalidCode)
		_, told := twofa.AttemptsLeft(err)
		require.False(t, told)
		answers = append(answers, err.Error())
	}
	require.Equal(t, answers[0], answers[1])
}

func TestAbuse_R05_NewListsAllMissingFields(t *testing.T) {
	_, err := twofa.New(twofa.Config{})
	for _, field := range []string{"Issuer", "Store", "Keys", "Directory"} {
		require.ErrorContains(t, err, field+":")
	}
	w := newWorld(t)
	for _, c := range []struct {
		name string
		edit func(*twofa.Config)
	}{
		{"Mail.Mailer:", func(c *twofa.Config) { c.Mail.Mailer = nil }},
		{"Mail.LinkURL:", func(c *twofa.Config) {
			c.Mail.LinkURL = func(l twofa.LinkRequest) string { return "http://app.example.com/" + l.Token.Reveal() }
		}},
		{"Mail.LinkURL:", func(c *twofa.Config) {
			c.Mail.LinkURL = func(l twofa.LinkRequest) string { return "/link?" + l.Token.Reveal() }
		}},
		{"Mail.LinkURL:", func(c *twofa.Config) {
			c.Mail.LinkURL = func(twofa.LinkRequest) string { return "https://app.example.com/" }
		}},
		{"Mail.Brand.Color:", func(c *twofa.Config) { c.Mail.Brand.Color = `#fff" onload="x` }},
		{"Mail.Brand.Color:", func(c *twofa.Config) { c.Mail.Brand.Color = "red" }},
		{"Mail.Brand.Logo:", func(c *twofa.Config) { c.Mail.Brand.Logo = "/logo.png" }},
		{"Mail.Brand.Logo:", func(c *twofa.Config) { c.Mail.Brand.Logo = "http://app.example.com/logo.png" }},
		{"Mail.Brand.SupportURL:", func(c *twofa.Config) { c.Mail.Brand.SupportURL = "javascript:alert(1)//@" }},
		{"Mail.Brand.SupportURL:", func(c *twofa.Config) { c.Mail.Brand.SupportURL = "mailto:help" }},
		{"Mail.Brand.SupportURL:", func(c *twofa.Config) { c.Mail.Brand.SupportURL = "mailto:help@example.com\nx" }},
		{"SMS.Phone:", func(c *twofa.Config) { c.SMS.Phone = nil }},
		{"SMS.Countries:", func(c *twofa.Config) { c.SMS.Countries = nil }},
		{"SMS.Countries:", func(c *twofa.Config) { c.SMS.Countries = []string{"Switzerland"} }},
		{"Recovery.Codes:", func(c *twofa.Config) { c.Recovery.Codes = 1000 }},
		{"Lifetimes.Session:", func(c *twofa.Config) { c.Lifetimes.Session = time.Second }},
		{"Lifetimes.Session:", func(c *twofa.Config) { c.Lifetimes.Session = -1 }},
		{"Issuer:", func(c *twofa.Config) { c.Issuer = "Acme: Inc" }},
		{"SMS.WebOTPHost:", func(c *twofa.Config) { c.SMS.WebOTPHost = "https://app.example.com" }},
		{"TOTP.Digits:", func(c *twofa.Config) { c.TOTP.Digits = 4 }},
		{"TOTP.SecretSize:", func(c *twofa.Config) { c.TOTP.SecretSize = 10 }},
		{"TOTP.Period:", func(c *twofa.Config) { c.TOTP.Period = time.Hour }},
		{"Policy.Methods:", func(c *twofa.Config) { c.Policy.Methods = []twofa.Method{"none"} }},
	} {
		cfg := w.cfg
		c.edit(&cfg)
		_, err := twofa.New(cfg)
		require.ErrorContains(t, err, c.name)
	}
}

// The zero Manager, Caller and tokens open nothing.
func TestAbuse_R05_ZeroValuesOpenNothing(t *testing.T) {
	w := newWorld(t)
	w.enrolled("ada")
	denied(t, w.Check(t.Context(), twofa.Caller{}), twofa.ReasonSignedOut)
	denied(t, w.UseAction(t.Context(), twofa.Caller{}, export, ""), twofa.ReasonSignedOut)
	denied(t, w.User(twofa.AsUser(twofa.Caller{}, ""), "ada").Revoke(t.Context()), twofa.ReasonSignedOut)
	require.ErrorIs(t, w.User(twofa.AsUser(twofa.Caller{}, ""), "ada").Delete(t.Context()), twofa.ErrNotAllowed)
	require.ErrorIs(t, w.Account(twofa.Actor{}, "acme").SetPolicy(t.Context(), twofa.Policy{}, ""), twofa.ErrNotAllowed)
	_, err := w.Verify(t.Context(), twofa.Caller{}, twofa.Challenge{}, twofa.Proof{})
	require.ErrorIs(t, err, twofa.ErrExpired)
	_, err = w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada"})
	require.ErrorIs(t, err, twofa.ErrNotAllowed, "a first factor must name its method")
}

// An enrollment is one write. There can be no codes without a factor, and no
// factor without codes. TestFaults lets each of its writes fail.
func TestAbuse_R06_EnrollmentIsAllOrNothing(t *testing.T) {
	w, store := newFault(t)
	ada := w.person("ada")
	ada.begin()
	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	require.NoError(t, err)
	ada.uri = e.URI.Reveal()
	ada.keep(e)
	require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), ada.code())))
	store.Refuse = func(twofa.Record) error { return errFault }
	_, err = ada.SaveCodes(t.Context(), ada.caller())
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	store.Refuse = nil
	require.Equal(t, twofa.NextDone, ada.browser("laptop").begin(), "off")
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())), "the same page is shown again")
	laptop := ada.browser("laptop")
	require.Equal(t, twofa.NextChallenge, laptop.begin(), "on")
	require.NoError(t, laptop.verify(twofa.RecoveryCode, ada.codes[9]), "with the same codes")
}

func TestAbuse_R08_ClockSetBack(t *testing.T) {
	t.Run("set back by minutes, it does not end a lock", func(t *testing.T) {
		w := newWorld(t)
		ada := w.enrolled("ada").browser("laptop")
		ada.begin()
		for range 5 {
			_ = ada.verify(twofa.TOTP, ada.wrongCode(twofa.TOTP))
		}
		w.clock.Add(-10 * time.Minute)
		ada.begin()
		require.ErrorIs(t, ada.verify(twofa.TOTP, ada.now()), twofa.ErrLocked)
		w.clock.Add(59 * time.Second)
		require.ErrorIs(t, ada.verify(twofa.TOTP, ada.now()), twofa.ErrLocked)
	})
	t.Run("set ahead by a year and back again, it does not block messages", func(t *testing.T) {
		w := newWorld(t, byLink)
		ada := w.person("ada")
		w.clock.Add(365 * 24 * time.Hour)
		ada.begin()
		require.NoError(t, ada.send(twofa.EmailLink))
		w.clock.Add(-365 * 24 * time.Hour)
		later := ada.browser("laptop")
		for range 30 { // one day at most
			later.begin()
			if later.send(twofa.EmailLink) == nil {
				require.NoError(t, later.verify(twofa.EmailLink, later.token()))
				return
			}
			w.clock.Add(time.Hour)
		}
		require.Fail(t, "no link for a day")
	})
	t.Run("set ahead by a day, it ends what is in progress and nothing more", func(t *testing.T) {
		w := newWorld(t)
		ada := w.enrolled("ada")
		pending := ada.browser("laptop")
		pending.begin()
		w.clock.Add(25 * time.Hour)
		require.ErrorIs(t, pending.verify(twofa.TOTP, pending.now()), twofa.ErrExpired)
		denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
		ada.begin()
		require.NoError(t, ada.verify(twofa.TOTP, ada.now()))
	})
}

// The clocks of two servers disagree by 45 seconds, in either direction.
func TestAbuse_R08_ServersWithDifferentClocks(t *testing.T) {
	for _, off := range []time.Duration{45 * time.Second, -45 * time.Second} {
		t.Run(off.String(), func(t *testing.T) {
			w := newWorld(t, remembering)
			ada := w.enrolled("ada").browser("laptop").remember()
			cfg := w.cfg
			cfg.Now = func() time.Time { return w.clock.Now().Add(off) }
			other, err := twofa.New(cfg)
			require.NoError(t, err)
			there := func(p person) *person { // the same user at the other server
				p.world = &world{Manager: other, t: w.t, clock: w.clock}
				return &p
			}
			require.NoError(t, other.Check(t.Context(), ada.caller()))
			require.NoError(t, ada.stepUp(export))
			require.NoError(t, other.UseAction(t.Context(), ada.caller(), export, ""))
			require.ErrorContains(t, ada.use(export, ""), "proof_missing", "the proof is used up on every server")

			away := there(*ada.browser("desk"))
			away.begin()
			code := ada.code()
			first := away.verify(twofa.TOTP, code)
			ada.begin()
			desk := ada.browser("tablet")
			desk.begin()
			second := desk.verify(twofa.TOTP, code)
			require.False(t, first == nil && second == nil, "one code gives one success")

			thief := ada.browser("cellar")
			thief.begin()
			for range 5 {
				_ = thief.verify(twofa.TOTP, thief.wrongCode(twofa.TOTP))
			}
			away = there(*ada.browser("attic"))
			away.begin()
			require.ErrorIs(t, away.verify(twofa.TOTP, away.now()), twofa.ErrLocked, "the method is locked on every server")
			require.Equal(t, twofa.NextDone, there(*ada).begin(), "a remembered browser is remembered on every server")
		})
	}
}

func TestAbuse_R09_CallCancelledBeforeChangesNothing(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	ada.begin()
	before := string(w.record("ada"))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	code := ada.code()
	_, err := w.Send(gone, ada.client, ada.login.Challenge, twofa.EmailLink)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.ErrorIs(t, w.Check(gone, ada.caller()), context.Canceled)
	require.ErrorIs(t, w.User(twofa.AsHost("test"), "ada").Revoke(gone), context.Canceled)
	require.Equal(t, before, string(w.record("ada")))
	require.NoError(t, ada.verify(twofa.TOTP, code))
}

// A wrong guess counts even if the client has left before.
func TestAbuse_R09_GuessOfACancelledCallCounts(t *testing.T) {
	w := newWorld(t)
	eve := w.enrolled("ada").stranger()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	eve.begin()
	for range 5 {
		_, err := w.Verify(gone, eve.caller(), eve.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(eve.wrongCode(twofa.TOTP))})
		require.ErrorIs(t, err, twofa.ErrInvalidCode)
	}
	eve.clock.Add(30 * time.Second)
	require.ErrorIs(t, eve.verify(twofa.TOTP, eve.now()), twofa.ErrLocked)
}

// If every write of a record conflicts, the call ends in bounded time.
func TestAbuse_R10_RecordThatIsAlwaysBusy(t *testing.T) {
	w, store := newFault(t)
	ada := w.enrolled("ada")
	ada.begin()
	swaps := 0
	store.Refuse = func(twofa.Record) error { swaps++; return twofa.ErrConflict }
	require.ErrorIs(t, ada.verify(twofa.TOTP, ada.code()), twofa.ErrUnavailable)
	require.Equal(t, 96, swaps, "the owner, in a known browser, tries longer")
	store.Refuse = nil
	eve := ada.stranger()
	eve.begin()
	swaps = 0
	store.Refuse = func(twofa.Record) error { swaps++; return twofa.ErrConflict }
	require.ErrorIs(t, eve.verify(twofa.TOTP, ada.now()), twofa.ErrUnavailable)
	require.Equal(t, 24, swaps)
	gone, cancel := context.WithCancel(t.Context())
	store.Refuse = func(twofa.Record) error { cancel(); return twofa.ErrConflict }
	err := w.User(twofa.AsHost("test"), "ada").Revoke(gone)
	require.ErrorIs(t, err, context.Canceled, "it ends at once if the caller has left")
}

// A store that has lost its records knows no session and lets nobody in with an
// old one.
func TestAbuse_R11_LostRecordEndsEverySession(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(export))
	ada.begin()
	w.cfg.Store = memstore.New()
	w.Manager = w.again()
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
	require.ErrorIs(t, ada.verify(twofa.TOTP, ada.code()), twofa.ErrExpired)
	require.True(t, errors.Is(ada.send(twofa.EmailLink), twofa.ErrExpired))
	denied(t, ada.use(export, ""), twofa.ReasonSignedOut)
}

// The error for a host's mistake names the mistake.
func TestErrorsNameTheMistakeOfTheHost(t *testing.T) {
	w := newWorld(t)
	_, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada"})
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	require.ErrorContains(t, err, "FirstFactor.By")
	_, err = w.Begin(t.Context(), twofa.FirstFactor{By: twofa.ByPassword})
	require.ErrorContains(t, err, "user ID: must be")
	_, err = w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: "other", By: twofa.ByPassword})
	require.ErrorContains(t, err, `"other" is not among the Members`)
	w.setUser("ada", func(u *twofa.User) { u.ID = "" })
	_, err = w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
	require.ErrorContains(t, err, "Config.Directory returned 1 users, the first with ID")
	require.ErrorIs(t, err, twofa.ErrNotAllowed)

	w.cfg.SMS.Countries = []string{"UK"}
	_, err = twofa.New(w.cfg)
	require.ErrorContains(t, err, `"UK": the United Kingdom is GB`)
	_, err = twofa.ParseKeyRing("")
	require.ErrorContains(t, err, "is the variable")
}

// If the host sets no Logger, the line that explains a refusal goes to the
// default logger instead of nowhere.
func TestLogger_DefaultIsNotSilence(t *testing.T) {
	var logs bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logs, nil)))
	defer slog.SetDefault(before)
	w := newWorld(t, func(c *twofa.Config) { c.OnEvent = func(context.Context, twofa.Event) { panic("host") } })
	require.Equal(t, twofa.NextDone, w.person("ada").begin())
	require.Contains(t, logs.String(), "OnEvent")
}
