package twofa

import (
	"bytes"
	"strings"
	"time"

	"github.com/twofa-go/twofa/internal/seal"
)

// recordFormat is the number of the way records are sealed. It is not the
// number of their fields, which may come without it: see [seal.Message].
const recordFormat = "2"

// usualRecord is enough for most, so that writing one takes one allocation.
const usualRecord = 768

// encode seals v as the record under key, in a version of its own. Data is a
// header line, "format key-ID", and the sealed encoding of v, bound to header,
// key and version. An attacker who can read the database learns its size. An
// attacker who can write to it but has no key cannot forge a record or move one
// to another user, but can put back an old row or delete one
// (docs/threat-model.md).
func (k KeyRing) encode(key string, v recordBody) (Record, error) {
	sealer, version := k.all()[0], seal.NewID()
	header := recordFormat + " " + sealer.ID
	buf := append(append(make([]byte, 0, usualRecord), header...), '\n')
	start := len(buf)
	buf = seal.Encode(append(buf, make([]byte, seal.NonceSize)...), v)
	data := seal.Seal(buf, start, sealer.Records, header, key, version)
	if len(data) > maxRecord {
		return Record{}, &RecordError{key, "would be too large"}
	}
	return Record{key, version, data}, nil
}

// decode opens a record and decodes it into v.
func (k KeyRing) decode(r Record, v recordBody) error {
	if len(r.Data) > maxRecord {
		return &RecordError{r.Key, "is too large"}
	}
	line, sealed, ok := bytes.Cut(r.Data, []byte{'\n'})
	header := string(line)
	format, id, _ := strings.Cut(header, " ")
	switch {
	case !ok:
		return &RecordError{r.Key, "has no header"}
	case format != recordFormat:
		return &RecordError{r.Key, "has a format that this release does not read"}
	}
	sealer, ok := k.byID(id)
	if !ok {
		return &RecordError{r.Key, "is sealed with a key that is not in the ring"}
	}
	plain, err := seal.Open(sealed, sealer.Records, header, r.Key, r.Version)
	if err != nil {
		return &RecordError{r.Key, "does not authenticate"}
	}
	if err := seal.Decode(plain, v); err != nil {
		return &RecordError{r.Key, err.Error()}
	}
	if problem := v.problem(); problem != "" {
		return &RecordError{r.Key, problem}
	}
	return nil
}

// sealsFirst reports whether a record is under the first key of the ring.
func (k KeyRing) sealsFirst(r Record) bool {
	return bytes.HasPrefix(r.Data, []byte(recordFormat+" "+k.all()[0].ID+"\n"))
}

// recordBody is the content of one kind of record.
type recordBody interface {
	seal.Message
	// problem says what the release does not understand, so that the record is
	// refused: it might be a restriction. Limits are not checked here, because
	// a later release may tighten them.
	problem() string
}

// userRecord is all second-factor state of one user, under "user/<id>". Every
// list in it is bounded.
type userRecord struct {
	seal.Unknown
	Epoch           string     // replaced when credentials change; challenges, sessions and grants carry it
	KeptSession     string     // ID of the one session that survived the last change of epoch
	Stamp           string     // digest of User.SecurityStamp as last seen
	StampBefore     string     // the one before
	StampedAt       unixTime   // when Stamp changed
	LastLogin       unixTime   // last completed login
	FailureNoticeAt unixTime   // last notice of failures
	Audit           auditChain // of the events
	Factors         []factor
	Codes           *codeSet
	Pending         *pendingEnrollment
	Counters        map[string]counter // by bucket
	Spent           []spent
	Grants          []grant
	Browsers        []browser
	Answers         []answer
	CodesReplaced   unixTime // when new recovery codes replaced others
	Reset           *resetState
	Eased           []unixTime // when a changed first factor allowed more wrong codes
	Messages        []message
	SendTimes       map[string]sendTimes // by bucket
	Imported        unixTime             // when factors of another product were imported
	TakenAway       unixTime             // when a factor was last removed or reset; no import may follow
	UsedForms       []usedForm
	Extensions      []extension    // of the user's grace, one for an account
	Seen            []seen         // in each of the accounts used last
	ResetAt         unixTime       // last reset, after which an admin can do nothing for a day
	Lost            unixTime       // when the device was reported as lost; 0 if it was not
	Case            *supportCase   // to reset the user
	CasesOpened     []unixTime     // in the last 30 days
	CaseStopped     unixTime       // when the user last stopped a case
	AddressesSince  unixTime       // since when the addresses are known; 1 if always, 0 if there are none
	Addresses       []address      // those of the user, and those of the last 30 days
	Assigned        *assignedPhone // number that an admin has entered
}

func (r *userRecord) Fields(c *seal.Codec) {
	seal.Text(c, 4, &r.Epoch)
	seal.Text(c, 8, &r.KeptSession)
	seal.Text(c, 12, &r.Stamp)
	seal.Int(c, 16, &r.LastLogin)
	seal.Int(c, 20, &r.FailureNoticeAt)
	seal.List(c, 25, &r.Factors)
	seal.Optional(c, 28, &r.Codes)
	seal.Optional(c, 32, &r.Pending)
	seal.Map(c, 38, &r.Counters)
	seal.List(c, 41, &r.Spent)
	seal.List(c, 44, &r.Grants)
	seal.List(c, 48, &r.Browsers)
	seal.List(c, 52, &r.Messages)
	seal.Map(c, 58, &r.SendTimes)
	seal.Struct(c, 62, &r.Audit)
	seal.Text(c, 64, &r.StampBefore)
	seal.Int(c, 68, &r.StampedAt)
	seal.Ints(c, 74, &r.Eased)
	seal.List(c, 80, &r.Answers)
	seal.Int(c, 84, &r.CodesReplaced)
	seal.Optional(c, 87, &r.Reset)
	seal.List(c, 88, &r.Extensions)
	seal.List(c, 94, &r.Seen)
	seal.Int(c, 122, &r.Imported)
	seal.Int(c, 126, &r.TakenAway)
	seal.List(c, 128, &r.UsedForms)
	seal.Int(c, 134, &r.ResetAt)
	seal.Optional(c, 140, &r.Assigned)
	seal.List(c, 146, &r.Addresses)
	seal.Int(c, 148, &r.Lost)
	seal.Optional(c, 152, &r.Case)
	seal.Ints(c, 158, &r.CasesOpened)
	seal.Int(c, 162, &r.CaseStopped)
	seal.Int(c, 166, &r.AddressesSince)
}

func (r *userRecord) problem() string {
	if r.Epoch == "" {
		return "has no epoch"
	}
	return ""
}

// turnOff removes every way to prove anything, and records it so that no import
// brings one back. It keeps counters and limits.
func (r *userRecord) turnOff(now unixTime) {
	r.TakenAway = now
	r.Factors, r.Codes, r.Browsers, r.Extensions = nil, nil, nil, nil
	r.Lost, r.Case, r.Assigned = 0, nil, nil
	r.dropAtReset()
}

// dropAtReset drops the fields of a newer release that do not survive a reset,
// because they may be a way to sign in. It is called when the lists that a
// reset empties are empty.
func (r *userRecord) dropAtReset() {
	r.DropAtReset()
	r.UsedForms = nil
	for i := range r.Spent {
		r.Spent[i].DropAtReset()
	}
	for i := range r.Seen {
		r.Seen[i].DropAtReset()
	}
	r.Audit.DropAtReset()
	for i := range r.Addresses {
		r.Addresses[i].DropAtReset()
	}
	for name, n := range r.Counters {
		n.DropAtReset()
		r.Counters[name] = n
	}
	for name, sent := range r.SendTimes {
		sent.DropAtReset()
		r.SendTimes[name] = sent
	}
}

// factor is an authenticator app or a phone. A factor of a kind that this
// release does not know is kept and counts as enrolled; see facts.
type factor struct {
	seal.Unknown
	ID     string
	Method Method
	Name   string
	App    totpParams
	Phone  string // number in E.164
	Step   int64  // last accepted time step; its code and those before are used up
	Added  unixTime
	Used   unixTime
}

func (f *factor) Fields(c *seal.Codec) {
	seal.Text(c, 4, &f.ID)
	seal.Text(c, 8, &f.Method)
	seal.Text(c, 12, &f.Name)
	seal.Struct(c, 16, &f.App)
	seal.Text(c, 20, &f.Phone)
	seal.Int(c, 24, &f.Step)
	seal.Int(c, 28, &f.Added)
	seal.Int(c, 32, &f.Used)
}

// pendingEnrollment never touches what is live. The code must be confirmed and
// the recovery codes saved, in either order. Then everything becomes active in
// one write.
type pendingEnrollment struct {
	seal.Unknown
	FactorID  string // ID of the factor that it will become
	SessionID string // ID of the session that started it; no other may continue it
	Browser   string // browserHash of the browser that started it; no other may see it
	Method    Method
	Name      string
	Replaces  string // ID of the factor that it will replace
	App       totpParams
	Phone     string
	Codes     []string // not valid before activation
	Step      int64    // time step of the code that confirmed it
	Confirmed bool
	Proof     string // hash of the code that confirmed it
	Saved     bool
	Elevate   bool // whether the new factor's first code counts for actions
	Fails     int
	Expires   unixTime
	Ends      unixTime // expiry that no step renews
}

func (p *pendingEnrollment) Fields(c *seal.Codec) {
	seal.Text(c, 4, &p.FactorID)
	seal.Text(c, 8, &p.SessionID)
	seal.Text(c, 12, &p.Method)
	seal.Text(c, 16, &p.Name)
	seal.Text(c, 20, &p.Replaces)
	seal.Struct(c, 24, &p.App)
	seal.Text(c, 28, &p.Phone)
	seal.Texts(c, 32, &p.Codes)
	seal.Int(c, 36, &p.Step)
	seal.Bool(c, 40, &p.Confirmed)
	seal.Bool(c, 44, &p.Saved)
	seal.Int(c, 48, &p.Fails)
	seal.Int(c, 52, &p.Expires)
	seal.Int(c, 56, &p.Ends)
	seal.Text(c, 61, &p.Browser)
	seal.Text(c, 64, &p.Proof)
	seal.Bool(c, 68, &p.Elevate)
}

// spent is a challenge that is used up, kept until it would have expired.
type spent struct {
	seal.Unknown
	ID      string // beginning of the challenge's ID
	Expires unixTime
}

func (x *spent) Fields(c *seal.Codec) {
	seal.Text(c, 4, &x.ID)
	seal.Int(c, 8, &x.Expires)
}

// answer is the answer to a proof, which the same proof gets again for
// replayTTL. It is kept longer to know which challenges were tried.
type answer struct {
	seal.Unknown
	ID        string   // beginning of the ID of the challenge or, for an enrollment, of the session
	Proof     string   // keyed hash of the proof
	At        unixTime // when it was given
	SessionID string   // ID of the session that a right proof led to; empty for a wrong one
	Method    Method   // method that an enrollment ended with
	Elevate   bool     // whether the first code of an enrollment counts for actions
	Left      int      // attempts left after a wrong one
	Until     unixTime // end of the lock that a wrong one caused
}

// life returns how long the answer is kept. A challenge that was used up needs
// no mark that it was tried.
func (a *answer) life() time.Duration {
	if a.SessionID != "" {
		return replayTTL
	}
	return challengeTTL
}

func (a *answer) Fields(c *seal.Codec) {
	seal.Text(c, 4, &a.ID)
	seal.Text(c, 8, &a.Proof)
	seal.Int(c, 12, &a.At)
	seal.Text(c, 16, &a.SessionID)
	seal.Text(c, 20, &a.Method)
	seal.Int(c, 24, &a.Left)
	seal.Int(c, 28, &a.Until)
	seal.Bool(c, 32, &a.Elevate)
}

// grant is a fresh proof for one action in one account, by one session.
type grant struct {
	seal.Unknown
	Account   string
	Action    string
	Resource  string
	SessionID string
	Method    Method
	At        unixTime
	Browser   string // browserHash of the browser in which it was given; no other may use it
	Form      string // formID of the form that it was given for; empty if there is none
}

func (g *grant) Fields(c *seal.Codec) {
	seal.Text(c, 4, &g.Account)
	seal.Text(c, 8, &g.Action)
	seal.Text(c, 12, &g.Resource)
	seal.Text(c, 16, &g.SessionID)
	seal.Text(c, 20, &g.Method)
	seal.Int(c, 24, &g.At)
	seal.Text(c, 29, &g.Browser)
	seal.Text(c, 32, &g.Form)
}

// browser is a browser in which a factor was proven. It is known: it has
// counters and a sending allowance of its own. If the user asked for it and the
// policy gives a lifetime, it is also remembered, which means that it is not
// challenged at login. It is never proof of anything else.
type browser struct {
	seal.Unknown
	ID         string
	Family     string   // hash of the secret that stays the same
	Hash       string   // of the token issued last
	Prev       string   // hash of the token before
	Salt       string   // the last token is derived from the one before and Salt
	Rotated    unixTime // when the last token was issued
	Device     string   // see text.Device
	First      unixTime
	Used       unixTime
	Proven     unixTime // when a factor was last proven in it
	Method     Method   // the factor that was
	Remembered string   // epoch in which the user asked for it; empty if not
	Copied     bool     // an old token came back
}

func (b *browser) Fields(c *seal.Codec) {
	seal.Text(c, 4, &b.ID)
	seal.Text(c, 8, &b.Hash)
	seal.Text(c, 12, &b.Prev)
	seal.Int(c, 16, &b.Rotated)
	seal.Text(c, 20, &b.Device)
	seal.Int(c, 24, &b.First)
	seal.Int(c, 28, &b.Used)
	seal.Int(c, 32, &b.Proven)
	seal.Text(c, 36, &b.Method)
	seal.Text(c, 40, &b.Family)
	seal.Text(c, 44, &b.Salt)
	seal.Text(c, 48, &b.Remembered)
	seal.Bool(c, 53, &b.Copied)
}

// keepLast returns the last n elements that pass. It reuses list.
func keepLast[T any](list []T, n int, pass func(T) bool) []T {
	kept := list[:0]
	for _, x := range list {
		if pass(x) {
			kept = append(kept, x)
		}
	}
	return kept[max(0, len(kept)-n):]
}

// pruneCodes removes the codes themselves, but not their hashes, if viewable is
// false.
func (r *userRecord) pruneCodes(viewable bool) {
	if r.Codes != nil && !viewable {
		r.Codes.Codes = nil
	}
}
