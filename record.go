package twofa

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"strings"
	"time"
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
func (k KeyRing) encode(key string, v walker) (Record, error) {
	sealer, version := k.all()[0], newID()
	header := schema + " " + sealer.id
	w := wire{buf: append(append(make([]byte, 0, usualRecord), header...), '\n')}
	start := len(w.buf)
	w.buf = append(w.buf, make([]byte, nonceSize)...)
	v.walk(&w)
	data := seal(w.buf, start, sealer.records, header, key, version)
	if len(data) > maxRecord {
		return Record{}, &RecordError{key, "too large"}
	}
	return Record{key, version, data}, nil
}

// decode opens a record and reads it into v.
func (k KeyRing) decode(r Record, v walker) error {
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
	w, err := open(sealed, sealer.records, header, r.Key, r.Version)
	if err != nil {
		return &RecordError{r.Key, "does not authenticate"}
	}
	v.walk(&w)
	if w.end() != nil {
		return &RecordError{r.Key, "does not decode"}
	}
	if problem := v.check(); problem != "" {
		return &RecordError{r.Key, problem}
	}
	return nil
}

// sealsFirst reports whether a record is under the first key of the ring.
func (k KeyRing) sealsFirst(r Record) bool {
	return bytes.HasPrefix(r.Data, []byte(schema+" "+k.all()[0].id+"\n"))
}

// walker is a kind of record. What this release does not understand may
// restrict, so that check names it and the record is refused.
type walker interface {
	walk(*wire)
	check() (problem string)
}

// userRecord is all second-factor state of one user, under "user/<id>". Times
// are Unix seconds. Every list in it is bounded.
type userRecord struct {
	Epoch           string // replaced when credentials change; what carries another is dead
	KeptSession     string // id of the one session that outlived the last change
	Stamp           string // digest of User.SecurityStamp as last seen
	LastLogin       int64  // last completed login
	FailureNoticeAt int64  // last notice of failures
	Factors         []factor
	Codes           *codeSet
	Pending         *pendingEnrollment
	Counters        map[string]counter
	Spent           []spent
	Grants          []grant
	Browsers        []browser
	Messages        []message
	SendTimes       map[string][]int64 // when something was sent, by method and bucket
}

// factor is an authenticator app or a phone.
type factor struct {
	ID     string
	Method Method
	Name   string
	App    totpParams
	Phone  string // number, in E.164
	Step   int64  // last accepted time step: codes of it and before are spent
	Added  int64
	Used   int64
}

// spent is the id of an attempt that is over, kept until it would have expired.
type spent struct {
	ID      string
	Expires int64
}

func (r *userRecord) walk(w *wire) {
	w.text(&r.Epoch)
	w.text(&r.KeptSession)
	w.text(&r.Stamp)
	w.number(&r.LastLogin)
	w.number(&r.FailureNoticeAt)
	list(w, &r.Factors, func(f *factor) {
		w.text(&f.ID)
		word(w, &f.Method)
		w.text(&f.Name)
		f.App.walk(w)
		w.text(&f.Phone)
		w.number(&f.Step)
		w.number(&f.Added)
		w.number(&f.Used)
	})
	optional(w, &r.Codes, func(c *codeSet) {
		w.text(&c.Key)
		w.text(&c.Hashes)
		w.small(&c.Total)
		w.number(&c.Made)
		list(w, &c.Codes, w.text)
	})
	optional(w, &r.Pending, func(p *pendingEnrollment) {
		w.text(&p.FactorID)
		w.text(&p.SessionID)
		word(w, &p.Method)
		w.text(&p.Name)
		w.text(&p.Replaces)
		p.App.walk(w)
		w.text(&p.Phone)
		list(w, &p.Codes, w.text)
		w.number(&p.Step)
		w.flag(&p.Confirmed)
		w.flag(&p.Saved)
		w.small(&p.Fails)
		w.number(&p.Expires)
	})
	r.walkTransient(w)
}

func (r *userRecord) check() string {
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
func (r *userRecord) walkTransient(w *wire) {
	table(w, &r.Counters, func(c *counter) {
		w.small(&c.Fails)
		w.number(&c.Until)
	})
	list(w, &r.Spent, func(x *spent) {
		w.text(&x.ID)
		w.number(&x.Expires)
	})
	list(w, &r.Grants, func(g *grant) {
		w.text(&g.Account)
		w.text(&g.Action)
		w.text(&g.Resource)
		w.text(&g.SessionID)
		word(w, &g.Method)
		w.number(&g.At)
	})
	list(w, &r.Browsers, func(b *browser) {
		w.text(&b.ID)
		w.text(&b.Hash)
		w.text(&b.Prev)
		w.number(&b.Rotated)
		w.text(&b.Device)
		w.number(&b.First)
		w.number(&b.Used)
		w.number(&b.Proven)
		word(w, &b.Method)
		w.number(&b.Expires)
		w.flag(&b.Remember)
	})
	list(w, &r.Messages, func(x *message) {
		w.text(&x.ID)
		word(w, &x.Method)
		w.text(&x.Bucket)
		w.text(&x.Hash)
		w.text(&x.To)
		w.text(&x.Mask)
		w.text(&x.Browser)
		w.text(&x.Attempt)
		w.small(&x.Tries)
		w.number(&x.Expires)
	})
	table(w, &r.SendTimes, func(times *[]int64) { list(w, times, w.number) })
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
	Expires   int64
}

// codeSet is one live set. What is stored is a hash of each code under a random
// key of the set, so that who opens the record still has no code, unless they
// are kept viewable; a check is one hash and a look-up.
type codeSet struct {
	Key    string
	Hashes string // of the codes that are left, one after the other
	Total  int    // when made
	Made   int64
	Codes  []string // where the deployment keeps them viewable
}

// counter counts consecutive failures of one method in one bucket.
type counter struct {
	Fails int
	Until int64 // locked until then
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
	Expires int64
}

// grant is a fresh proof for one action in one account, by one session.
type grant struct {
	Account   string
	Action    string
	Resource  string
	SessionID string
	Method    Method
	At        int64
}

// browser is one that has seen a real factor. It is known: it has counters and
// a send allowance of its own. Where the person asked and the policy gives a
// lifetime, it is also remembered, that is, not asked at login. It is never
// proof of anything else.
type browser struct {
	ID       string
	Hash     string
	Prev     string // the token before the last rotation
	Rotated  int64  // when that was
	Device   string // see device
	First    int64
	Used     int64
	Proven   int64  // when a real factor was last proven in it
	Method   Method // and which
	Expires  int64
	Remember bool
}

// numberRecord is what is kept under "number/<keyed hash of the number>".
type numberRecord struct{ SendTimes []int64 }

func (n *numberRecord) walk(w *wire) { list(w, &n.SendTimes, w.number) }

func (n *numberRecord) check() string { return "" }

// totpParams is what an authenticator app computes codes from. It is kept whole with
// each, so that a change of [Config.TOTP] concerns new ones only.
type totpParams struct {
	Key       string
	Algorithm string
	Digits    int
	Period    int64 // seconds
}

func (a *totpParams) walk(w *wire) {
	w.text(&a.Key)
	w.text(&a.Algorithm)
	w.small(&a.Digits)
	w.number(&a.Period)
}

func (a totpParams) valid() bool {
	c := TOTPConfig{Algorithm: a.Algorithm, Digits: a.Digits, Period: time.Duration(a.Period) * time.Second, SecretSize: len(a.Key)}
	return c.validate() == nil
}

// key is as apps take it: in Base32.
func (a totpParams) key() string { return secretEncoding.EncodeToString([]byte(a.Key)) }

func (a totpParams) step(now time.Time) int64 { return now.Unix() / a.Period }

// code is that of a time step: HOTP, RFC 4226, section 5.3.
func (a totpParams) code(step int64) []byte {
	mac := hmac.New(algorithms[a.Algorithm], []byte(a.Key))
	var buf [sha512.Size]byte
	mac.Write(binary.BigEndian.AppendUint64(buf[:0], uint64(step)))
	sum := mac.Sum(buf[:0])
	value := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&0xf:]) & 0x7fffffff
	code := make([]byte, a.Digits)
	for i := len(code) - 1; i >= 0; i-- {
		code[i] = '0' + byte(value%10)
		value /= 10
	}
	return code
}

// is reports whether a typed code is that of a step.
func (a totpParams) codeMatches(code string, step int64) bool {
	return step >= 0 && subtle.ConstantTimeCompare(a.code(step), []byte(code)) == 1
}

func (c *codeSet) left() int { return len(c.Hashes) / recoveryHashLen }

func (c *codeSet) hash(i int) string { return c.Hashes[i*recoveryHashLen:][:recoveryHashLen] }

// viewable reports whether the codes that are left are kept beside their
// hashes, in the same order.
func (c *codeSet) viewable() bool { return len(c.Codes) > 0 && len(c.Codes) == c.left() }

const recoveryHashLen = 16

var algorithms = map[string]func() hash.Hash{"SHA1": sha1.New, "SHA256": sha256.New, "SHA512": sha512.New}

var secretEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

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
