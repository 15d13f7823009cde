package twofa

import (
	"bytes"
	"strings"

	"github.com/twofa-go/twofa/internal/seal"
)

// schema is the number of the format written here. A release reads schema n+1
// before any release writes it; anything newer is refused.
const schema = "1"

// usualRecord is enough for most, so that writing one takes one allocation.
const usualRecord = 768

// encode makes a record of v under a version of its own. Data is a header line,
// "schema key-id", and v sealed for this key and version: who can read the
// database learns its size, and who can write it but has no key can forge
// nothing, nor move a record to another user; putting back an old row or
// deleting one is what such a writer can still do (docs/threat-model.md).
func (k KeyRing) encode(key string, v recordBody) (Record, error) {
	sealer, version := k.all()[0], seal.NewID()
	header := schema + " " + sealer.ID
	buf := append(append(make([]byte, 0, usualRecord), header...), '\n')
	start := len(buf)
	w := seal.NewEncoder(append(buf, make([]byte, seal.NonceSize)...))
	v.encodeOrDecode(w)
	data := seal.Seal(w.Bytes(), start, sealer.Records, header, key, version)
	if len(data) > maxRecord {
		return Record{}, &RecordError{key, "too large"}
	}
	return Record{key, version, data}, nil
}

// decode opens a record and reads it into v.
func (k KeyRing) decode(r Record, v recordBody) error {
	if len(r.Data) > maxRecord {
		return &RecordError{r.Key, "too large"}
	}
	line, sealed, ok := bytes.Cut(r.Data, []byte{'\n'})
	header := string(line)
	number, id, _ := strings.Cut(header, " ")
	switch {
	case !ok:
		return &RecordError{r.Key, "has no header"}
	case number != schema:
		return &RecordError{r.Key, "has a schema that this release does not read"}
	}
	sealer, ok := k.byID(id)
	if !ok {
		return &RecordError{r.Key, "is sealed with a key that is not in the ring"}
	}
	plain, err := seal.Open(sealed, sealer.Records, header, r.Key, r.Version)
	if err != nil {
		return &RecordError{r.Key, "does not authenticate"}
	}
	w := seal.NewDecoder(plain)
	v.encodeOrDecode(w)
	if w.Close() != nil {
		return &RecordError{r.Key, "does not decode"}
	}
	if problem := v.problem(); problem != "" {
		return &RecordError{r.Key, problem}
	}
	return nil
}

// sealsFirst reports whether a record is under the first key of the ring.
func (k KeyRing) sealsFirst(r Record) bool {
	return bytes.HasPrefix(r.Data, []byte(schema+" "+k.all()[0].ID+"\n"))
}

// walker is a kind of record. What this release does not understand may
// restrict, so that check names it and the record is refused.
type recordBody interface {
	encodeOrDecode(*seal.Codec)
	problem() (problem string)
}

// userRecord is all second-factor state of one user, under "user/<id>". Times
// are Unix seconds. Every list in it is bounded.
type userRecord struct {
	Epoch           string   // replaced when credentials change; what carries another is dead
	KeptSession     string   // id of the one session that outlived the last change
	Stamp           string   // digest of User.SecurityStamp as last seen
	LastLogin       unixTime // last completed login
	FailureNoticeAt unixTime // last notice of failures
	Factors         []factor
	Codes           *codeSet
	Pending         *pendingEnrollment
	Counters        map[string]counter
	Spent           []spent
	Grants          []grant
	Browsers        []browser
	Messages        []message
	SendTimes       map[string][]unixTime // when something was sent, by method and bucket
}

// factor is an authenticator app or a phone.
type factor struct {
	ID     string
	Method Method
	Name   string
	App    totpParams
	Phone  string // number, in E.164
	Step   int64  // last accepted time step: codes of it and before are spent
	Added  unixTime
	Used   unixTime
}

// spent is the id of an attempt that is over, kept until it would have expired.
type spent struct {
	ID      string
	Expires unixTime
}

func (r *userRecord) encodeOrDecode(w *seal.Codec) {
	seal.Text(w, &r.Epoch)
	seal.Text(w, &r.KeptSession)
	seal.Text(w, &r.Stamp)
	seal.Int64(w, &r.LastLogin)
	seal.Int64(w, &r.FailureNoticeAt)
	seal.List(w, &r.Factors, func(w *seal.Codec, f *factor) {
		seal.Text(w, &f.ID)
		seal.Text(w, &f.Method)
		seal.Text(w, &f.Name)
		f.App.encodeOrDecode(w)
		seal.Text(w, &f.Phone)
		seal.Int64(w, &f.Step)
		seal.Int64(w, &f.Added)
		seal.Int64(w, &f.Used)
	})
	seal.Optional(w, &r.Codes, func(w *seal.Codec, c *codeSet) {
		seal.Text(w, &c.Key)
		seal.Text(w, &c.Hashes)
		seal.Int(w, &c.Total)
		seal.Int64(w, &c.Made)
		seal.List(w, &c.Codes, seal.Text[string])
	})
	seal.Optional(w, &r.Pending, func(w *seal.Codec, p *pendingEnrollment) {
		seal.Text(w, &p.FactorID)
		seal.Text(w, &p.SessionID)
		seal.Text(w, &p.Method)
		seal.Text(w, &p.Name)
		seal.Text(w, &p.Replaces)
		p.App.encodeOrDecode(w)
		seal.Text(w, &p.Phone)
		seal.List(w, &p.Codes, seal.Text[string])
		seal.Int64(w, &p.Step)
		seal.Bool(w, &p.Confirmed)
		seal.Bool(w, &p.Saved)
		seal.Int(w, &p.Fails)
		seal.Int64(w, &p.Expires)
	})
	r.encodeOrDecodeTransient(w)
}

func (r *userRecord) problem() string {
	for _, f := range r.Factors {
		if !provable(f.Method, f.App, f.Phone) {
			return "has a factor that this release does not know"
		}
	}
	switch p := r.Pending; {
	case r.Epoch == "":
		return "has no epoch"
	case p != nil && p.Method != RecoveryCode && !provable(p.Method, p.App, p.Phone):
		return "has a set-up that this release does not know"
	}
	return ""
}

// provable reports whether a factor has what its method is proven with. An
// empty key would make codes, too: codes that everybody can compute.
func provable(m Method, a totpParams, phone string) bool {
	return m == TOTP && a.valid() || m == SMS && phone != ""
}

// walkTransient walks what comes and goes with logins.
func (r *userRecord) encodeOrDecodeTransient(w *seal.Codec) {
	seal.Map(w, &r.Counters, func(w *seal.Codec, c *counter) {
		seal.Int(w, &c.Fails)
		seal.Int64(w, &c.Until)
	})
	seal.List(w, &r.Spent, func(w *seal.Codec, x *spent) {
		seal.Text(w, &x.ID)
		seal.Int64(w, &x.Expires)
	})
	seal.List(w, &r.Grants, func(w *seal.Codec, g *grant) {
		seal.Text(w, &g.Account)
		seal.Text(w, &g.Action)
		seal.Text(w, &g.Resource)
		seal.Text(w, &g.SessionID)
		seal.Text(w, &g.Method)
		seal.Int64(w, &g.At)
	})
	seal.List(w, &r.Browsers, func(w *seal.Codec, b *browser) {
		seal.Text(w, &b.ID)
		seal.Text(w, &b.Hash)
		seal.Text(w, &b.Prev)
		seal.Int64(w, &b.Rotated)
		seal.Text(w, &b.Device)
		seal.Int64(w, &b.First)
		seal.Int64(w, &b.Used)
		seal.Int64(w, &b.Proven)
		seal.Text(w, &b.Method)
		seal.Int64(w, &b.Expires)
		seal.Bool(w, &b.Remember)
	})
	seal.List(w, &r.Messages, func(w *seal.Codec, x *message) {
		seal.Text(w, &x.ID)
		seal.Text(w, &x.Method)
		seal.Text(w, &x.Bucket)
		seal.Text(w, &x.Hash)
		seal.Text(w, &x.To)
		seal.Text(w, &x.Mask)
		seal.Text(w, &x.Browser)
		seal.Text(w, &x.Attempt)
		seal.Int(w, &x.Tries)
		seal.Int64(w, &x.Expires)
	})
	seal.Map(w, &r.SendTimes, func(w *seal.Codec, times *[]unixTime) { seal.List(w, times, seal.Int64[unixTime]) })
}

// pendingEnrollment is what is pending. It never touches what is live: the code has to be
// confirmed and the recovery codes saved, in either order, and then everything
// becomes active in one write.
type pendingEnrollment struct {
	FactorID  string // of the factor it will become
	SessionID string // of the session that started it; no other may go on with it
	Method    Method
	Name      string
	Replaces  string
	App       totpParams
	Phone     string
	Codes     []string // they redeem nothing before activation
	Step      int64    // that confirmed it
	Confirmed bool
	Saved     bool
	Fails     int
	Expires   unixTime
}

// codeSet is one live set. What is stored is a hash of each code under a random
// key of the set, so that who opens the record still has no code, unless they
// are kept viewable; a check is one hash and a look-up.
type codeSet struct {
	Key    string
	Hashes string // of the codes that are left, one after the other
	Total  int    // when made
	Made   unixTime
	Codes  []string // where the deployment keeps them viewable
}

// counter counts consecutive failures of one method in one bucket.
type counter struct {
	Fails int
	Until unixTime // locked until then
}

// message is a link or a texted code that left, or may have left. What it takes
// to use it is in the challenge that was made for it.
type message struct {
	ID      string
	Method  Method
	Bucket  string // whose failures and newer messages void it; see bucket
	Hash    string // of the token or code
	To      string // digest of the address or number it went to
	Mask    string // what of it is shown
	Browser string
	Attempt string // id of the challenge it was sent for
	Tries   int
	Expires unixTime
}

// grant is a fresh proof for one action in one account, by one session.
type grant struct {
	Account   string
	Action    string
	Resource  string
	SessionID string
	Method    Method
	At        unixTime
}

// browser is one that has seen a real factor. It is known: it has counters and
// a send allowance of its own. Where the person asked and the policy gives a
// lifetime, it is also remembered, that is, not asked at login. It is never
// proof of anything else.
type browser struct {
	ID       string
	Hash     string
	Prev     string   // the token before the last rotation
	Rotated  unixTime // when that was
	Device   string   // see device
	First    unixTime
	Used     unixTime
	Proven   unixTime // when a real factor was last proven in it
	Method   Method   // and which
	Expires  unixTime
	Remember bool
}

// numberRecord is what is kept under "number/<keyed hash of the number>".
type numberRecord struct{ SendTimes []unixTime }

func (n *numberRecord) encodeOrDecode(w *seal.Codec) {
	seal.List(w, &n.SendTimes, seal.Int64[unixTime])
}

func (n *numberRecord) problem() string { return "" }

func (c *codeSet) left() int { return len(c.Hashes) / recoveryHashLen }

func (c *codeSet) hash(i int) string { return c.Hashes[i*recoveryHashLen:][:recoveryHashLen] }

// viewable reports whether the codes that are left are kept beside their
// hashes, in the same order.
func (c *codeSet) viewable() bool { return len(c.Codes) > 0 && len(c.Codes) == c.left() }

const recoveryHashLen = 16

// pendingMessage is a message that was claimed and has not left yet.
type pendingMessage struct {
	user    string
	account string
	mask    string
	email   *Email
	text    *TextMessage
	number  Phone
	budget  budget // of the number
}

// budget names one of those a number has over all users. Each use has its own,
// so that nobody can use up another's: not the owner's codes by the password
// alone or by typing the number, nor the message that it was replaced.
type budget string

const (
	budgetUnknown     budget = ""
	budgetKnown       budget = "/known"
	budgetUnconfirmed budget = "/unconfirmed"
	budgetReplaced    budget = "/replaced"
)
