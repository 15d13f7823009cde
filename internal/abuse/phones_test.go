package abuse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/harness"
)

const miasPhone = adasPhone

// byPhone is a team whose account requires an app or a phone.
func byPhone(t testing.TB, edit ...func(*twofa.Config)) *world {
	w := team(t, edit...)
	w.policy("acme", twofa.PolicySMS())
	return w
}

func assignment(user, phone string) twofa.PhoneAssignment {
	return twofa.PhoneAssignment{User: user, Phone: phone}
}

// assigns assigns a number as the host, and returns what was done.
func (w *world) assigns(user, phone string) twofa.PhoneOutcome {
	w.t.Helper()
	done, err := w.Account(twofa.AsHost("list of the office"), "acme").AssignPhones(w.t.Context(),
		[]twofa.PhoneAssignment{{User: user, Phone: phone, Withdraw: phone == ""}})
	require.NoError(w.t, err)
	require.NoError(w.t, done[0].Err)
	return done[0].Outcome
}

// enrolling signs a member in up to the enrollment that a policy requires.
func (w *world) enrolling(id string) *person {
	w.t.Helper()
	p := w.person(id)
	p.account = "acme"
	p.opensLink()
	return p
}

func (p *person) opensLink() {
	p.t.Helper()
	p.clock.Add(time.Minute)
	require.Equal(p.t, twofa.NextChallenge, p.begin())
	require.Equal(p.t, []twofa.Method{twofa.EmailLink}, p.login.Methods, "the best proof comes first")
	require.NoError(p.t, p.send(twofa.EmailLink))
	require.NoError(p.t, p.verify(twofa.EmailLink, p.token()))
	require.Equal(p.t, twofa.NextEnroll, p.login.Next)
}

// offered returns the number that the pages show.
func (p *person) offered() *twofa.AssignedPhone {
	p.t.Helper()
	f, err := p.Factors(p.t.Context(), p.caller())
	require.NoError(p.t, err)
	return f.Assigned
}

func (p *person) accepts(id string) error {
	e, err := p.Enroll(p.t.Context(), p.caller(), twofa.EnrollRequest{Method: twofa.SMS, Assigned: id})
	if err == nil {
		p.login.Challenge = e.Challenge
		p.keep(e)
	}
	return err
}

// confirms enters the code that was texted to a number, and saves the codes.
func (p *person) confirms(phone string) error {
	if err := p.took(p.Confirm(p.t.Context(), p.caller(), p.out.TextCode(p.t, phone))); err != nil || p.login.Next == twofa.NextDone {
		return err
	}
	return p.took(p.SaveCodes(p.t.Context(), p.caller()))
}

func (w *world) texts() int { return len(w.out.Texts()) }

// adminOf returns an admin who is signed in with an authenticator.
func (w *world) adminOf(id string) *person {
	w.t.Helper()
	p := w.enrolling(id)
	return p.enroll()
}

// An admin hands over numbers. Each member sees the end of the number after the
// email link, confirms it by a code, and is asked for a code by text message at
// the next login.
func TestS9_AdminAssignsPhones(t *testing.T) {
	w := byPhone(t)
	olga := w.adminOf("olga")
	require.NoError(t, olga.stepUp(twofa.ActionPolicy))
	events := len(w.events)
	done, err := olga.as().AssignPhones(t.Context(), []twofa.PhoneAssignment{assignment("mia", "+41 79 123 45 67"), assignment("max", "12"), assignment("alma", otherPhone)})
	require.NoError(t, err)
	require.ErrorIs(t, done[1].Err, twofa.ErrInvalid)
	done[1].Err = nil
	require.Equal(t, []twofa.PhoneResult{
		{User: "mia", Phone: "•••• 67", Outcome: twofa.PhoneAssigned},
		{User: "max", Problem: twofa.PhoneMalformed},
		{User: "alma", Phone: "•••• 21", Outcome: twofa.PhoneAssigned},
	}, done)
	require.Equal(t, []string{event.AdminAct, event.PhoneAssigned, event.PhoneAssigned}, w.types()[events:])
	for _, e := range w.events[events+1:] {
		require.Equal(t, w.events[events].Act, e.Act, "the whole call is one act")
		require.Equal(t, twofa.EventActor{Kind: "user", ID: "olga", Role: "owner"}, e.Actor)
		require.Equal(t, []any{"acme", "asked for", twofa.SMS}, []any{e.Account, e.Reason, e.Method})
	}
	require.Equal(t, []string{"mia", "•••• 67"}, []string{w.events[events+1].User, w.events[events+1].Detail})
	require.Zero(t, w.texts(), "nothing is sent before the member asks for it")

	w.clock.Add(aDay)
	mia := w.enrolling("mia")
	offered := mia.offered()
	require.Equal(t, "•••• 67", offered.Phone)
	require.Zero(t, w.texts())
	require.NoError(t, mia.accepts(offered.ID))
	require.Equal(t, 1, w.texts())
	require.NoError(t, mia.confirms(miasPhone))
	require.Equal(t, twofa.NextDone, mia.login.Next)
	require.Empty(t, w.assignedTo("mia"))
	require.Nil(t, mia.offered())

	laptop := mia.browser("laptop")
	w.clock.Add(time.Hour)
	require.Equal(t, twofa.NextChallenge, laptop.begin())
	require.NoError(t, laptop.send(twofa.SMS))
	require.NoError(t, laptop.verify(twofa.SMS, w.out.TextCode(t, miasPhone)))
}

// Each kind of wrong item has an answer of its own, and keeps no other one back.
func TestAssignPhones_EachItem(t *testing.T) {
	w := byPhone(t)
	adam := w.adminOf("adam")
	for id, members := range map[string][]twofa.Member{
		"two":   {{Account: "acme"}, {Account: "beta"}},
		"three": {{Account: "acme"}}, "four": {{Account: "acme"}}, "five": {{Account: "acme"}}, "six": {{Account: "acme"}},
	} {
		w.users[id] = twofa.User{ID: id, Emails: []string{id + "@example.com"}, Members: members}
	}
	w.adminOf("five") // has a factor
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	list := []twofa.PhoneAssignment{
		assignment("mia", miasPhone), assignment("ben", miasPhone), assignment("nobody", miasPhone), assignment("two", miasPhone), assignment("three", "+41900123456"),
		assignment("four", "+33612345678"), assignment("five", miasPhone), assignment("olga", miasPhone), assignment("alma", miasPhone), assignment("adam", miasPhone),
		assignment("mia\n", miasPhone), assignment("six", miasPhone), assignment("six", otherPhone), assignment("max", ""),
		assignment("ned", strings.Repeat("1", 100)), {User: "nan", Phone: miasPhone, Withdraw: true},
	}
	done, err := adam.as().AssignPhones(t.Context(), list)
	require.NoError(t, err)
	var got []string
	for i, r := range done {
		require.Equal(t, list[i].User, r.User)
		said := string(r.Outcome)
		if d, ok := errors.AsType[*twofa.DeniedError](r.Err); ok {
			require.Equal(t, "acme", d.Account)
			said = string(d.Reason)
		} else if r.Err != nil {
			require.Empty(t, said)
			said = strings.TrimPrefix(r.Err.Error(), "twofa: ")
		}
		got = append(got, said+" "+string(r.Problem))
	}
	require.Equal(t, []string{
		"assigned ", "not enrolled ", "not enrolled ", "support_required ",
		"invalid: Phone: must be a mobile number not_mobile", "invalid: Phone: must be of a country in Config.SMS.Countries country_not_allowed",
		"enrolled ", "role_too_low ", "role_too_low ", "not_yourself ",
		`invalid: twofa: user ID: must be 1 to 255 bytes of UTF-8 without control characters or space around it, is "mia\n" `,
		`invalid: user "six" is in the list 2 times, so it is not clear which number counts `, `invalid: user "six" is in the list 2 times, so it is not clear which number counts `,
		"invalid: Phone: must be a phone number, with its country code unless Region is set malformed",
		"invalid: Phone: must be a phone number, with its country code unless Region is set malformed",
		"invalid: Phone: must be empty to withdraw ",
	}, got)
	require.Equal(t, fmt.Sprint(done[1].Err), fmt.Sprint(done[2].Err), "a user of another account is like one that does not exist")
	for _, id := range []string{"ben", "nobody", "two", "three", "four", "six", "max", "olga", "alma"} {
		require.Empty(t, w.assignedTo(id), id)
	}
}

func TestAssignPhones_Refused(t *testing.T) {
	w := byPhone(t)
	mia, adam := w.adminOf("mia"), w.adminOf("adam")
	list := []twofa.PhoneAssignment{assignment("max", miasPhone)}
	assign := func(a *twofa.Account) error { return failure(a.AssignPhones(t.Context(), list)) }
	require.ErrorIs(t, assign(w.Account(twofa.AsUser(adam.caller(), " \u202e"), "acme")), twofa.ErrInvalid)
	require.ErrorIs(t, assign(w.Account(twofa.Actor{}, "acme")), twofa.ErrInvalid)
	require.ErrorIs(t, assign(w.Account(twofa.AsHost("x"), "")), twofa.ErrInvalid)
	require.ErrorIs(t, failure(adam.as().AssignPhones(t.Context(), make([]twofa.PhoneAssignment, 10_001))), twofa.ErrInvalid)
	denied(t, assign(mia.as()), twofa.ReasonRole)
	w.clock.Add(10 * time.Minute)
	events := len(w.events)
	none, err := adam.as().AssignPhones(t.Context(), list)
	denied(t, err, twofa.ReasonMissing)
	require.Nil(t, none, "the whole call fails")
	require.Len(t, w.events, events)
	require.Empty(t, w.assignedTo("max"))

	// Finding mistakes needs no proof, so that they can be corrected first.
	done, err := adam.as().AssignPhones(t.Context(), []twofa.PhoneAssignment{assignment("max", "12"), assignment("nobody", miasPhone), {User: "mia", Withdraw: true}})
	require.NoError(t, err)
	require.ErrorIs(t, done[0].Err, twofa.ErrInvalid)
	require.ErrorIs(t, done[1].Err, twofa.ErrNotEnrolled)
	require.Len(t, w.events, events)

	w.cfg.SMS, w.cfg.Policy = twofa.SMSConfig{}, twofa.PolicyOptional()
	require.ErrorIs(t, assign(w.again().Account(twofa.AsHost("x"), "acme")), twofa.ErrUnavailable)
}

// A proof that serves once serves the whole call.
func TestAssignPhones_OneProofForTheWholeCall(t *testing.T) {
	w := byPhone(t)
	p := twofa.PolicySMS()
	p.Actions = map[string]twofa.ActionRule{twofa.ActionPolicy: {}}
	w.policy("acme", p)
	olga := w.adminOf("olga")
	require.NoError(t, olga.stepUp(twofa.ActionPolicy))
	list := []twofa.PhoneAssignment{assignment("mia", miasPhone), assignment("max", otherPhone)}
	done, err := olga.as().AssignPhones(t.Context(), list)
	require.NoError(t, err)
	require.Equal(t, []twofa.PhoneOutcome{twofa.PhoneAssigned, twofa.PhoneAssigned}, []twofa.PhoneOutcome{done[0].Outcome, done[1].Outcome})
	done, err = olga.as().AssignPhones(t.Context(), list)
	require.NoError(t, err, "there is nothing to change")
	require.Equal(t, []twofa.PhoneOutcome{twofa.PhoneUnchanged, twofa.PhoneUnchanged}, []twofa.PhoneOutcome{done[0].Outcome, done[1].Outcome})
}

// 10,000 numbers are written one by one, and the directory is asked for 1,000 at a
// time. A second call writes nothing.
func TestAssignPhones_Many(t *testing.T) {
	counted := &countedStore{Store: memstore.New()}
	w := team(t, func(c *twofa.Config) { c.Store = counted })
	asked := &askedDirectory{directory: directory{w}}
	w.cfg.Directory = asked
	w.Manager = w.again()
	var list []twofa.PhoneAssignment
	for i := range 10_000 {
		id := fmt.Sprintf("m%05d", i)
		w.users[id] = twofa.User{ID: id, Members: []twofa.Member{{Account: "acme"}}}
		list = append(list, assignment(id, fmt.Sprintf("+4179%07d", i)))
	}
	acme := w.Account(twofa.AsHost("list"), "acme")
	for _, want := range []struct {
		outcome twofa.PhoneOutcome
		swaps   int
	}{{twofa.PhoneAssigned, 10_000}, {twofa.PhoneUnchanged, 0}} {
		asked.most, asked.calls, counted.swaps, counted.most = 0, 0, 0, 0
		done, err := acme.AssignPhones(t.Context(), list)
		require.NoError(t, err)
		for _, r := range done {
			require.NoError(t, r.Err)
			require.Equal(t, want.outcome, r.Outcome)
		}
		require.Equal(t, want.swaps, counted.swaps)
		require.Equal(t, []int{1000, 10}, []int{asked.most, asked.calls})
		require.Equal(t, 1001, counted.most, "with the policy of the account")
	}
}

// countedStore counts the swaps, and the keys of the largest read.
type countedStore struct {
	twofa.Store
	swaps, most int
}

func (s *countedStore) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	s.most = max(s.most, len(keys))
	return s.Store.Get(ctx, keys...)
}

func (s *countedStore) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	s.swaps++
	if len(events) != 1 {
		return errors.New("one change is one event")
	}
	return s.Store.Swap(ctx, prev, next, events...)
}

type askedDirectory struct {
	directory
	most, calls int
}

func (d *askedDirectory) Users(ctx context.Context, ids ...string) ([]twofa.User, error) {
	d.most, d.calls = max(d.most, len(ids)), d.calls+1
	return d.directory.Users(ctx, ids...)
}

// A call that is interrupted has done what it reports, and the next one continues.
func TestAssignPhones_Interrupted(t *testing.T) {
	for name, stop := range map[string]func(*harness.FaultStore, context.CancelFunc){
		"the context ends": func(_ *harness.FaultStore, cancel context.CancelFunc) { cancel() },
		"the store fails": func(s *harness.FaultStore, _ context.CancelFunc) {
			s.Read = func([]string) error { return errors.New("connection lost") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := &harness.FaultStore{Store: memstore.New()}
			w := team(t, func(c *twofa.Config) { c.Store = store })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var list []twofa.PhoneAssignment
			for i := range 5 {
				id := fmt.Sprintf("m%d", i)
				w.users[id] = twofa.User{ID: id, Members: []twofa.Member{{Account: "acme"}}}
				list = append(list, assignment(id, miasPhone))
			}
			left := 2
			store.Written = func(...twofa.Event) {
				if left--; left == 0 {
					stop(store, cancel)
				}
			}
			acme := w.Account(twofa.AsHost("list"), "acme")
			done, err := acme.AssignPhones(ctx, list)
			require.NoError(t, err)
			for i, r := range done {
				require.Equal(t, list[i].User, r.User)
				if i < 2 {
					require.Equal(t, twofa.PhoneAssigned, r.Outcome)
					continue
				}
				require.ErrorIs(t, r.Err, twofa.ErrUnavailable)
				require.Empty(t, r.Outcome)
			}
			store.Read, store.Written = nil, nil
			for _, id := range []string{"m2", "m3", "m4"} {
				require.Empty(t, w.assignedTo(id))
			}
			done, err = acme.AssignPhones(t.Context(), list)
			require.NoError(t, err)
			for i, want := range []twofa.PhoneOutcome{twofa.PhoneUnchanged, twofa.PhoneUnchanged, twofa.PhoneAssigned, twofa.PhoneAssigned, twofa.PhoneAssigned} {
				require.Equal(t, want, done[i].Outcome)
			}
		})
	}
}

// A record that cannot be read is reported for its member alone.
func TestAssignPhones_UnreadableRecord(t *testing.T) {
	store := &harness.FaultStore{Store: memstore.New()}
	w := team(t, func(c *twofa.Config) { c.Store = store })
	w.assigns("mia", miasPhone)
	store.Mangle = func(r *twofa.Record) {
		if r.Key == "user/mia" {
			r.Data = []byte("2 x\nx")
		}
	}
	done, err := w.Account(twofa.AsHost("list"), "acme").AssignPhones(t.Context(), []twofa.PhoneAssignment{assignment("mia", otherPhone), assignment("max", miasPhone)})
	require.NoError(t, err)
	var unreadable *twofa.RecordError
	require.ErrorAs(t, done[0].Err, &unreadable)
	require.Equal(t, twofa.PhoneAssigned, done[1].Outcome)
}

// An admin who is demoted during a long call stops with the next members.
func TestAbuse_N12_DemotedDuringTheList(t *testing.T) {
	store := &harness.FaultStore{Store: memstore.New()}
	w := byPhone(t, func(c *twofa.Config) { c.Store = store })
	adam := w.adminOf("adam")
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	var list []twofa.PhoneAssignment
	for i := range 1500 {
		id := fmt.Sprintf("m%04d", i)
		w.users[id] = twofa.User{ID: id, Members: []twofa.Member{{Account: "acme"}}}
		list = append(list, assignment(id, miasPhone))
	}
	store.Written = func(events ...twofa.Event) {
		if events[0].User == "m0003" {
			w.setUser("adam", func(u *twofa.User) { u.Members[0].Role = twofa.RoleMember })
		}
	}
	done, err := adam.as().AssignPhones(t.Context(), list)
	denied(t, err, twofa.ReasonRole)
	require.Equal(t, twofa.PhoneAssigned, done[999].Outcome)
	denied(t, done[1000].Err, twofa.ReasonRole)
	require.Empty(t, w.assignedTo("m1000"))
}

// A number that an admin has entered is never a factor, whatever the policy asks.
func TestAbuse_N04_AssignedNumberIsNoFactor(t *testing.T) {
	w := byPhone(t)
	w.assigns("mia", miasPhone)
	st, err := w.Account(twofa.AsHost("test"), "acme").Statuses(t.Context(), "mia")
	require.NoError(t, err)
	require.Equal(t, []any{twofa.StateOverdue, 0}, []any{st[0].State, len(st[0].Factors)})
	mia := w.enrolling("mia")
	f, err := mia.Factors(t.Context(), mia.caller())
	require.NoError(t, err)
	require.Empty(t, f.List)
	require.ErrorIs(t, mia.verify(twofa.SMS, "000000"), twofa.ErrExpired, "an enrollment challenge proves nothing")
	w.policy("acme", twofa.PolicyOptional())
	w.assigns("max", otherPhone)
	max := w.person("max")
	max.account = "acme"
	require.Equal(t, twofa.NextDone, max.begin(), "an account that asks nobody asks nobody")
	denied(t, failure(max.StepUp(t.Context(), max.caller(), export, "")), twofa.ReasonEnroll)
	require.Zero(t, w.texts())
}

// The admin, who knows the number and perhaps has the phone, learns and chooses
// nothing: without the member's mailbox nobody gets as far as the number, and only
// a code that arrives at it confirms it.
func TestAbuse_N04_AdminCannotEnrollForTheMember(t *testing.T) {
	w := byPhone(t)
	olga := w.adminOf("olga")
	require.NoError(t, olga.stepUp(twofa.ActionPolicy))
	events := len(w.events)
	done, err := olga.as().AssignPhones(t.Context(), []twofa.PhoneAssignment{assignment("mia", miasPhone)})
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprintf("%+v", done), fmt.Sprintf("%+v", w.events[events:])} {
		require.NotContains(t, text, "791234")
	}

	thief := w.person("mia") // the admin knows the member's password
	thief.account = "acme"
	require.Equal(t, twofa.NextChallenge, thief.begin())
	denied(t, failure(thief.Factors(t.Context(), thief.caller())), twofa.ReasonSignedOut)
	denied(t, thief.accepts("any"), twofa.ReasonSignedOut)
	require.Zero(t, w.texts())

	mia := w.enrolling("mia")
	require.NoError(t, mia.accepts(mia.offered().ID))
	require.ErrorIs(t, failure(mia.Confirm(t.Context(), mia.caller(), "000000")), twofa.ErrInvalidCode)
	require.NoError(t, mia.confirms(miasPhone))
}

// Within the grace, a password is enough to sign in, but not to see the number or
// to text it.
func TestAbuse_N04_J08_WithinGraceTheLinkComesFirst(t *testing.T) {
	w := team(t)
	p := twofa.PolicySMS()
	p.Grace = 7 * aDay
	w.policy("acme", p)
	w.assigns("mia", miasPhone)
	mia := w.person("mia")
	mia.account = "acme"
	require.Equal(t, twofa.NextDone, mia.begin())
	require.Equal(t, &twofa.AssignedPhone{Added: harness.Start.UTC()}, mia.offered(), "there is one, after the link")
	denied(t, mia.accepts("any"), twofa.ReasonMissing)
	require.Zero(t, w.texts())
	require.NoError(t, mia.took(mia.StepUp(t.Context(), mia.caller(), twofa.ActionFactors, "")))
	require.NoError(t, mia.send(twofa.EmailLink))
	require.NoError(t, mia.verify(twofa.EmailLink, mia.token()))
	require.NoError(t, mia.accepts(mia.offered().ID))
	require.NoError(t, mia.confirms(miasPhone))
}

// In an account that asks for nothing, the number is offered to a member who sets
// up a phone, and no longer once the password is 15 minutes old.
func TestAbuse_N04_OldSessionSeesNoNumber(t *testing.T) {
	w := team(t)
	p := twofa.PolicySMS()
	p.Required = false
	w.policy("acme", p)
	w.assigns("mia", miasPhone)
	mia := w.person("mia")
	mia.account = "acme"
	require.Equal(t, twofa.NextDone, mia.begin())
	id := mia.offered().ID
	w.clock.Add(15 * time.Minute)
	require.Nil(t, mia.offered())
	denied(t, mia.accepts(id), twofa.ReasonSignedOut)
	require.Zero(t, w.texts())
}

// A request names a proposal that it was shown, and can choose no other number.
func TestAbuse_F11_J08_RequestCannotChooseTheAssignedNumber(t *testing.T) {
	w := byPhone(t)
	w.assigns("mia", miasPhone)
	w.assigns("max", otherPhone)
	mia, max := w.enrolling("mia"), w.enrolling("max")
	for _, id := range []string{max.offered().ID, "x", miasPhone, otherPhone} {
		require.ErrorIs(t, mia.accepts(id), twofa.ErrNotEnrolled, id)
	}
	require.Zero(t, w.texts())
	e, err := mia.Enroll(t.Context(), mia.caller(), twofa.EnrollRequest{Method: twofa.SMS, Assigned: mia.offered().ID, Phone: otherPhone, Region: "FR"})
	require.NoError(t, err)
	require.Equal(t, "•••• 67", e.Phone, "Phone is ignored")
	require.Len(t, w.out.Texts(), 1)
	require.Equal(t, miasPhone, w.out.Texts()[0].To)
}

// The number is replaced while the member looks at it. The code goes to no number
// that the member has not seen.
func TestAbuse_F11_NumberReplacedWhileThePageIsOpen(t *testing.T) {
	w := byPhone(t)
	w.assigns("mia", miasPhone)
	mia := w.enrolling("mia")
	seen := mia.offered()
	require.Equal(t, twofa.PhoneAssigned, w.assigns("mia", otherPhone))
	require.ErrorIs(t, mia.accepts(seen.ID), twofa.ErrNotEnrolled)
	require.Zero(t, w.texts())
	now := mia.offered()
	require.Equal(t, "•••• 21", now.Phone)
	require.NoError(t, mia.accepts(now.ID))

	// Once the member has asked for the code, the enrollment is the member's own.
	require.Equal(t, twofa.PhoneWithdrawn, w.assigns("mia", ""))
	require.Nil(t, mia.offered())
	require.NoError(t, mia.confirms(otherPhone))
}

// A number is assigned while the member enrolls another factor. The enrollment
// continues, and ends the proposal.
func TestAbuse_N04_AssignedWhileTheMemberEnrolls(t *testing.T) {
	w := byPhone(t)
	mia := w.enrolling("mia")
	e, err := mia.Enroll(t.Context(), mia.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: miasPhone})
	require.NoError(t, err)
	mia.login.Challenge = e.Challenge
	require.Equal(t, twofa.PhoneAssigned, w.assigns("mia", otherPhone))
	require.Equal(t, 1, w.texts())
	require.NoError(t, mia.confirms(miasPhone))
	f, err := mia.Factors(t.Context(), mia.caller())
	require.NoError(t, err)
	require.Equal(t, "•••• 67", f.List[0].Phone)
	require.Nil(t, f.Assigned)
	require.Equal(t, twofa.PhoneEnrolled, w.assigns("mia", otherPhone), "one with a factor is left alone")
	require.Empty(t, w.assignedTo("mia"))
}

// What ends a proposal, and what hides it.
func TestAssignPhones_Ends(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(w *world)
		stored bool // whether it is offered again once the obstacle is gone
	}{
		"30 days":    {func(w *world) { w.clock.Add(30 * aDay) }, false},
		"taken back": {func(w *world) { w.assigns("mia", "") }, false},
		"a reset": {func(w *world) {
			must(w, w.User(twofa.AsHost("lost"), "mia").Reset(w.t.Context(), twofa.ResetRequest{}))
		}, false},
		"another account": {func(w *world) {
			w.setUser("mia", func(u *twofa.User) { u.Members = append(u.Members, twofa.Member{Account: "beta"}) })
		}, true},
		"leaves and joins again": {func(w *world) {
			members := w.users["mia"].Members
			w.setUser("mia", func(u *twofa.User) { u.Members = []twofa.Member{{Account: "beta"}} })
			must(w, w.Account(twofa.AsHost("left"), "acme").MemberRemoved(w.t.Context(), "mia"))
			w.setUser("mia", func(u *twofa.User) { u.Members = members })
		}, false},
		"no text messages": {func(w *world) { w.policy("acme", twofa.PolicyAuthenticator()) }, true},
		"no sender": {func(w *world) {
			w.cfg.SMS.Sender = nil
			w.Manager = w.again()
		}, true},
		"a country that is no longer allowed": {func(w *world) {
			w.cfg.SMS.Countries = []string{"FR"}
			w.Manager = w.again()
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := byPhone(t)
			w.assigns("mia", miasPhone)
			sms, members := w.cfg.SMS, w.users["mia"].Members
			c.end(w)
			mia := w.enrolling("mia")
			require.Nil(t, mia.offered())
			require.Error(t, mia.accepts("any"))
			require.Zero(t, w.texts())

			w.cfg.SMS = sms
			mia.Manager, w.Manager = w.again(), w.again()
			w.setUser("mia", func(u *twofa.User) { u.Members = members })
			w.policy("acme", twofa.PolicySMS())
			mia.opensLink()
			require.Equal(t, c.stored, mia.offered() != nil)
			if !c.stored {
				require.Equal(t, twofa.PhoneAssigned, w.assigns("mia", miasPhone), "and it can be assigned again")
			}
		})
	}
}

// assignedTo returns the number that is stored for a user.
func (w *world) assignedTo(id string) string {
	w.t.Helper()
	d, err := w.User(twofa.AsHost("test"), id).Export(w.t.Context())
	require.NoError(w.t, err)
	if d.Assigned == nil {
		return ""
	}
	return d.Assigned.Phone
}

func must(w *world, err error) {
	w.t.Helper()
	require.NoError(w.t, err)
}

// A change of the password or a sign-out everywhere does not end a proposal. A day
// before its end it is still offered.
func TestAssignPhones_Lasts(t *testing.T) {
	w := byPhone(t)
	w.assigns("mia", miasPhone)
	w.setUser("mia", func(u *twofa.User) { u.SecurityStamp = "2" })
	must(w, w.User(twofa.AsHost("changed"), "mia").CredentialsChanged(t.Context()))
	must(w, w.User(twofa.AsHost("stolen"), "mia").Revoke(t.Context()))
	w.clock.Add(29 * aDay)
	require.Equal(t, twofa.PhoneUnchanged, w.assigns("mia", miasPhone))
	require.Equal(t, "•••• 67", w.enrolling("mia").offered().Phone)
	d, err := w.User(twofa.AsHost("request for access"), "mia").Export(t.Context())
	require.NoError(t, err)
	require.Equal(t, &twofa.AssignedData{Phone: miasPhone, Account: "acme", Added: harness.Start.UTC()}, d.Assigned)
}

// The member enters another number instead.
func TestAssignPhones_AnotherNumber(t *testing.T) {
	w := byPhone(t)
	w.assigns("mia", miasPhone)
	mia := w.enrolling("mia")
	e, err := mia.Enroll(t.Context(), mia.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: otherPhone})
	require.NoError(t, err)
	mia.login.Challenge = e.Challenge
	require.NoError(t, mia.confirms(otherPhone))
	require.Equal(t, otherPhone, w.out.Texts()[0].To)
	require.Equal(t, 1, w.texts(), "the other number hears nothing")
}

// Two accounts: what one of them has entered is not offered in the other, and
// neither may enter a number for a member of both.
func TestAbuse_N02_AssignedNumberOfAnotherAccount(t *testing.T) {
	w := byPhone(t)
	w.policy("beta", twofa.PolicySMS())
	w.assigns("mia", miasPhone)
	w.setUser("mia", func(u *twofa.User) { u.Members = []twofa.Member{{Account: "beta"}} }) // and the host forgot MemberRemoved
	mia := w.person("mia")
	mia.account = "beta"
	mia.opensLink()
	require.Nil(t, mia.offered())
	beta := w.Account(twofa.AsHost("list"), "beta")
	done, err := beta.AssignPhones(t.Context(), []twofa.PhoneAssignment{{User: "mia", Withdraw: true}})
	require.NoError(t, err)
	require.Equal(t, twofa.PhoneUnchanged, done[0].Outcome, "nothing to take back here")
	done, err = beta.AssignPhones(t.Context(), []twofa.PhoneAssignment{assignment("mia", otherPhone)})
	require.NoError(t, err)
	require.Equal(t, twofa.PhoneAssigned, done[0].Outcome)
	require.Equal(t, "•••• 21", mia.offered().Phone)
}

// Two admins assign different numbers at the same time. One of the numbers is
// stored, with its event.
func TestAssignPhones_AtTheSameTime(t *testing.T) {
	w := byPhone(t)
	rush(t, 8, w.servers(2), func(m *twofa.Manager, i int) error {
		done, err := m.Account(twofa.AsHost("list"), "acme").AssignPhones(t.Context(), []twofa.PhoneAssignment{assignment("mia", fmt.Sprintf("+417912345%02d", i))})
		if err == nil {
			err = done[0].Err
		}
		return err
	})
	n := 0
	for _, e := range w.events {
		if e.Type == event.PhoneAssigned {
			n++
		}
	}
	require.Equal(t, 8, n)
	require.Equal(t, w.events[len(w.events)-1].Detail, w.enrolling("mia").offered().Phone)
}
