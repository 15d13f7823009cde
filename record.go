package twofa

import (
	"bytes"
	"strings"
)

// schema is the number of the format written here. A release reads schema n+1
// before any release writes it; anything newer is refused.
const schema = "1"

// maxRecord bounds what is read and written. A user's record stays far below:
// every list in it is bounded.
const maxRecord = 64 << 10

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

const maxSpent = 32

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
