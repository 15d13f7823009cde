package model

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/seal"
)

// Fields that only the next release knows. Bit 0 of a number means that a
// release that does not know the field must refuse the value, bit 1 that the
// field survives a reset.
const (
	firstNextField = 1024
	fieldMust      = 1025 // refused by a release that does not know it
	fieldLasting   = 1026 // counter that survives the removal of the last factor
	fieldCount     = 1028 // number of the write; its loss is an error
	fieldKept      = 1032 // content of a factor of a new kind
	fieldHidden    = 1036 // fieldMust of a token, while the next release holds it
	fieldPasskey   = 1040 // a proof by passkey, while the next release holds it
)

// Kinds of factors that only the next release can check.
const (
	passkey    twofa.Method = "passkey"  // a method of its own
	newHash                 = "SHA3-256" // an authenticator app with an unknown algorithm
	hashMethod twofa.Method = "totp/" + newHash
)

// wire is one field of a message in the wire format of Protocol Buffers.
type wire struct {
	number, n uint64
	text      string
	isText    bool
}

// wires is a message as a list of fields in ascending order. It is an
// implementation of its own, so that an error of package seal cannot hide.
type wires []wire

func parseWires(s string) (w wires) {
	uvarint := func() uint64 {
		x, n := binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
		if n <= 0 {
			panic("malformed number in a stored message")
		}
		s = s[n:]
		return x
	}
	for s != "" {
		tag := uvarint()
		f := wire{number: tag >> 3, isText: tag&7 == 2, n: uvarint()}
		if f.isText {
			f.text, s, f.n = s[:f.n], s[f.n:], 0
		}
		w = append(w, f)
	}
	return w
}

func (w wires) String() string {
	var b []byte
	for _, f := range w {
		if f.isText {
			b = binary.AppendUvarint(b, f.number<<3|2)
			b = append(binary.AppendUvarint(b, uint64(len(f.text))), f.text...)
			continue
		}
		b = binary.AppendUvarint(binary.AppendUvarint(b, f.number<<3), f.n)
	}
	return string(b)
}

func (w wires) find(number uint64) (f wire, ok bool) {
	i := slices.IndexFunc(w, func(f wire) bool { return f.number == number })
	if i < 0 {
		return wire{}, false
	}
	return w[i], true
}

func (w wires) text(number uint64) string { f, _ := w.find(number); return f.text }

func (w wires) num(number uint64) uint64 { f, _ := w.find(number); return f.n }

func (w wires) has(number uint64) bool { _, ok := w.find(number); return ok }

func (w *wires) drop(number uint64) {
	*w = slices.DeleteFunc(*w, func(f wire) bool { return f.number == number })
}

// put replaces a field.
func (w *wires) put(f wire) {
	w.drop(f.number)
	w.add(f)
}

// add adds an element of a list.
func (w *wires) add(f wire) {
	i := slices.IndexFunc(*w, func(o wire) bool { return o.number > f.number })
	if i < 0 {
		i = len(*w)
	}
	*w = slices.Insert(*w, i, f)
}

func (w *wires) putText(number uint64, text string) {
	w.put(wire{number: number, text: text, isText: true})
}

func (w *wires) putNum(number, n uint64) { w.put(wire{number: number, n: n}) }

// shape describes one kind of message and the messages in it.
type shape struct {
	id        func(wires) string // name of the element within its record
	pair      bool               // an entry of a map
	omitEmpty bool               // left out if empty
	nested    map[uint64]*shape
}

func elementID(kind string, fields ...uint64) func(wires) string {
	return func(w wires) string {
		id := kind
		for _, f := range fields {
			id += "/" + w.text(f)
		}
		return id
	}
}

var (
	shapeProof = &shape{id: func(w wires) string { return "proof/" + w.text(4) + "/" + strconv.FormatUint(w.num(8), 10) }}
	shapeFirst = &shape{id: func(w wires) string { return elementID("first", 5, 9)(w) + "/" + strconv.FormatUint(w.num(12), 10) }}
	shapeToken = &shape{id: elementID("token"), nested: map[uint64]*shape{32: shapeFirst, 48: shapeProof}}
	shapeUser  = &shape{id: elementID("user"), nested: map[uint64]*shape{
		25: {id: elementID("factor", 4), nested: map[uint64]*shape{16: {id: elementID("app", 4), omitEmpty: true}}},
		28: {id: elementID("codes", 4)},
		32: {id: elementID("pending", 4), nested: map[uint64]*shape{24: {id: elementID("app", 4), omitEmpty: true}}},
		38: {id: elementID("counter", 1), pair: true},
		41: {id: elementID("spent", 4)},
		44: {id: func(w wires) string {
			return elementID("grant", 4, 8, 12, 16)(w) + "/" + strconv.FormatUint(w.num(24), 10)
		}},
		48:  {id: elementID("browser", 4)},
		52:  {id: elementID("message", 4)},
		58:  {id: elementID("sends", 1), pair: true},
		80:  {id: func(w wires) string { return elementID("answer", 4, 8)(w) + "/" + strconv.FormatUint(w.num(12), 10) }},
		87:  {id: elementID("reset")},
		88:  {id: func(w wires) string { return elementID("extension", 4)(w) + "/" + strconv.FormatUint(w.num(8), 10) }},
		94:  {id: elementID("seen", 4)},
		146: {id: elementID("address", 4)},
		152: {id: elementID("case", 4), nested: map[uint64]*shape{29: {id: elementID("approval", 4)}}},
	}}
	shapeAccount = &shape{id: elementID("account"), nested: map[uint64]*shape{
		5: {id: elementID("policy"), nested: map[uint64]*shape{29: {id: elementID("rule", 1), pair: true}}},
	}}
	shapeNumber = &shape{id: elementID("number")}
	shapeConfig = &shape{id: elementID("config"), nested: map[uint64]*shape{4: {id: elementID("digest", 4)}}}
)

func shapeOf(key string) *shape {
	kind, _, _ := strings.Cut(key, "/")
	return map[string]*shape{"user": shapeUser, "account": shapeAccount, "number": shapeNumber, "config": shapeConfig}[kind]
}

// walk visits every message of a record, inner ones first, and stores what
// visit changed.
func (s *shape) walk(w *wires, visit func(id string, w *wires)) { s.visit(w, "", visit) }

func (s *shape) visit(w *wires, id string, visit func(id string, w *wires)) {
	if id == "" {
		id = s.id(*w)
	}
	for i := 0; i < len(*w); i++ {
		sub := s.nested[(*w)[i].number]
		if sub == nil {
			continue
		}
		inner := parseWires((*w)[i].text)
		switch {
		case sub.pair:
			value := parseWires(inner.text(2))
			sub.visit(&value, sub.id(inner), visit)
			if inner.drop(2); len(value) > 0 {
				inner.putText(2, value.String())
			}
		case sub.omitEmpty:
			sub.visit(&inner, sub.id(*w), visit) // named after the message around it
		default:
			sub.visit(&inner, "", visit)
		}
		if (*w)[i].text = inner.String(); sub.omitEmpty && len(inner) == 0 {
			*w = slices.Delete(*w, i, i+1)
			i--
		}
	}
	visit(id, w)
}

// extras returns the fields of the next release, by element.
func (s *shape) extras(w wires) map[string]string {
	all := map[string]string{}
	s.walk(&w, func(id string, w *wires) {
		if x := w.extras(); x != "" {
			all[id] = x
		}
	})
	return all
}

func (w wires) extras() string {
	return slices.DeleteFunc(slices.Clone(w), func(f wire) bool { return f.number < firstNextField }).String()
}

// eachOf visits the elements of a list.
func (w wires) eachOf(number uint64, visit func(*wires)) {
	for i := range w {
		if w[i].number == number {
			inner := parseWires(w[i].text)
			visit(&inner)
			w[i].text = inner.String()
		}
	}
}

// nextStore is the store as the next release sees it. The Manager behind it is
// of this release. On the way to the store, the next release's fields are
// written; on the way back they are taken out, so the Manager sees only what it
// understands. Other Managers use the store underneath.
type nextStore struct {
	twofa.Store
	t       testing.TB
	key     seal.Key
	hash    string // algorithm of TOTP, in place of newHash
	serial  uint64
	seen    map[string]nextSeen
	shown   map[string]twofa.Record // last answers of Get
	checked map[string]nextChecked
	kept    map[string]string // records as an older release has reset them, of which it keeps addresses as they are
}

// nextChecked is the last answer of refused.
type nextChecked struct {
	version        string
	refused, older bool // by this release, and by an older one
}

// nextSeen is the state of a record at the last write of the next release, or
// at the last check.
type nextSeen struct {
	version string
	extras  map[string]string
	factors int
	reset   bool // whether it may be reset next
}

// fleetKey returns a key ring for a Config, and the key in it.
func fleetKey(t testing.TB) (twofa.KeyRing, seal.Key) {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(i*37 + 11)
	}
	text := base64.StdEncoding.EncodeToString(raw)
	ring, err := twofa.ParseKeyRing("k1:" + text)
	require.NoError(t, err)
	key, err := seal.ParseKey("k1", text)
	require.NoError(t, err)
	return ring, key
}

func (s *nextStore) open(r twofa.Record) wires {
	header, sealed, _ := strings.Cut(string(r.Data), "\n")
	plain, err := seal.Open([]byte(sealed), s.key.Records, header, r.Key, r.Version)
	require.NoError(s.t, err)
	return parseWires(plain)
}

func (s *nextStore) seal(key, version string, w wires) twofa.Record {
	const header = "2 k1"
	buf := append([]byte(header+"\n"), make([]byte, seal.NonceSize)...)
	buf = append(buf, w.String()...)
	return twofa.Record{Key: key, Version: version, Data: seal.Seal(buf, len(header)+1, s.key.Records, header, key, version)}
}

// raw returns a record as it is stored.
func (s *nextStore) raw(key string) (w wires, version string) {
	r, version := s.get(key)
	if version == "" {
		return nil, ""
	}
	return s.open(r), version
}

func (s *nextStore) get(key string) (r twofa.Record, version string) {
	records, err := s.Store.Get(context.Background(), key)
	require.NoError(s.t, err)
	if len(records) == 0 {
		return twofa.Record{}, ""
	}
	return records[0], records[0].Version
}

// Get implements [twofa.Store]. It fails the test if a field of the next release
// is lost.
func (s *nextStore) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	records, err := s.Store.Get(ctx, keys...)
	for i, r := range records {
		shown := s.shown[r.Key]
		if shown.Version != r.Version {
			s.verify(r.Key)
			w := s.open(r)
			s.present(r.Key, &w)
			shown = s.seal(r.Key, r.Version, w)
			s.shown[r.Key] = shown
		}
		records[i].Data = slices.Clone(shown.Data)
	}
	return records, err
}

// present turns a stored record into what the Manager understands.
func (s *nextStore) present(key string, w *wires) {
	switch shape := shapeOf(key); shape {
	case shapeUser:
		w.eachOf(25, func(f *wires) { s.presentFactor(f, 16) })
		w.eachOf(32, func(p *wires) { s.presentFactor(p, 24) })
		for list, field := range map[uint64]uint64{44: 20, 48: 36, 80: 20} {
			w.eachOf(list, func(g *wires) {
				if g.text(field) == string(passkey) {
					g.putText(field, string(twofa.TOTP))
				}
			})
		}
	case shapeAccount:
		w.eachOf(5, func(p *wires) {
			*p = slices.DeleteFunc(*p, func(f wire) bool { return f.number == 5 && f.text == string(passkey) })
		})
	case shapeConfig:
		*w = slices.DeleteFunc(*w, func(f wire) bool { return f.number == 4 && parseWires(f.text).text(4) == nextDigest })
	}
	shapeOf(key).walk(w, func(_ string, w *wires) {
		*w = slices.DeleteFunc(*w, func(f wire) bool { return f.number >= firstNextField })
	})
}

// nextDigest is the name of a field of Config that only the next release has.
const nextDigest = "Passkey.RPID"

func (s *nextStore) presentFactor(f *wires, app uint64) {
	switch {
	case f.text(methodField(app)) == string(passkey):
		f.putText(methodField(app), string(twofa.TOTP))
		f.putText(app, f.text(fieldKept))
	case s.isNewHash(*f, app):
		f.eachOf(app, func(a *wires) { a.putText(8, s.hash) })
	}
}

func (s *nextStore) isNewHash(f wires, app uint64) bool {
	return parseWires(f.text(app)).text(8) == newHash
}

// methodField returns the number of Method in the message whose App has the
// given number.
func methodField(app uint64) uint64 {
	if app == 24 {
		return 12
	}
	return 8
}

// Swap implements [twofa.Store].
func (s *nextStore) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if next.Version == "" {
		return s.Store.Swap(ctx, prev, next, events...)
	}
	w := s.open(next)
	before, _ := s.raw(next.Key)
	switch shapeOf(next.Key) {
	case shapeUser:
		s.storeUser(&w, before)
	case shapeAccount:
		if slices.ContainsFunc(parseWires(before.text(5)), func(f wire) bool { return f.number == 5 && f.text == string(passkey) }) {
			w.eachOf(5, addWord)
		}
	case shapeConfig:
		w.add(wire{number: 4, isText: true, text: wires{{number: 4, isText: true, text: nextDigest}, {number: 8, isText: true, text: "d"}}.String()})
	}
	s.count(next.Key, &w, before)
	return s.put(ctx, prev, next.Key, next.Version, w, events...)
}

// addWord makes a policy accept a method that only the next release knows.
func addWord(p *wires) { p.add(wire{number: 5, text: string(passkey), isText: true}) }

// put stores a record of the next release.
func (s *nextStore) put(ctx context.Context, prev, key, version string, w wires, events ...twofa.Event) error {
	err := s.Store.Swap(ctx, prev, s.seal(key, version, w), events...)
	if err == nil {
		s.seen[key] = nextSeen{version: version, extras: shapeOf(key).extras(w), factors: w.factors()}
	}
	return err
}

func (w wires) factors() (n int) {
	w.eachOf(25, func(*wires) { n++ })
	return n
}

// storeUser turns factors and proofs of the new kinds into their stored form.
func (s *nextStore) storeUser(w *wires, before wires) {
	kinds, methods := map[string]twofa.Method{}, map[string]string{}
	learn := func(f *wires, app uint64) {
		switch {
		case f.text(methodField(app)) == string(passkey):
			kinds[f.text(4)] = passkey
		case s.isNewHash(*f, app):
			kinds[f.text(4)] = hashMethod
		}
	}
	before.eachOf(25, func(f *wires) { learn(f, 16) })
	before.eachOf(32, func(p *wires) { learn(p, 24) })
	before.eachOf(44, func(g *wires) { methods[grantID(*g)] = g.text(20) })
	before.eachOf(48, func(b *wires) { methods[browserID(*b)] = b.text(36) })
	before.eachOf(80, func(a *wires) { methods[answerID(*a)] = a.text(20) })

	proven := map[uint64]bool{} // times at which a passkey was proven
	kept := before.kept()
	store := func(f *wires, app uint64) {
		kind := kinds[f.text(4)]
		if kind == "" && app == 24 {
			kind = kindNamed(f.text(16))
		}
		switch kind {
		case passkey:
			proven[f.num(32)] = true
			f.putText(methodField(app), string(passkey))
			f.putText(fieldKept, f.text(app))
			f.drop(app)
		case hashMethod:
			f.eachOf(app, func(a *wires) { a.putText(8, newHash) })
		}
		if content := kept[f.text(4)]; content != "" && app == 16 {
			require.Equal(s.t, content, f.text(fieldKept), "a passkey that was not replaced is the same")
		}
	}
	w.eachOf(25, func(f *wires) { store(f, 16) })
	w.eachOf(32, func(p *wires) { store(p, 24) })
	method := func(id, now string, at uint64) string {
		if old, ok := methods[id]; ok {
			return old
		}
		if now == string(twofa.TOTP) && proven[at] {
			return string(passkey)
		}
		return now
	}
	w.eachOf(44, func(g *wires) { g.putText(20, method(grantID(*g), g.text(20), g.num(24))) })
	w.eachOf(48, func(b *wires) { b.putText(36, method(browserID(*b), b.text(36), b.num(32))) })
	w.eachOf(80, func(a *wires) {
		if a.has(20) {
			a.putText(20, method(answerID(*a), a.text(20), a.num(12)))
		}
	})
}

func answerID(a wires) string { return shapeUser.nested[80].id(a) }

// kept returns the content of passkeys by ID.
func (w wires) kept() map[string]string {
	all := map[string]string{}
	w.eachOf(25, func(f *wires) { all[f.text(4)] = f.text(fieldKept) })
	return all
}

func grantID(g wires) string { return shapeUser.nested[44].id(g) }

// browserID names a proof in a browser.
func browserID(b wires) string { return b.text(4) + "/" + strconv.FormatUint(b.num(32), 10) }

// kindNamed returns the kind of factor that the next release enrolls under a
// name.
func kindNamed(name string) twofa.Method {
	switch name {
	case namePasskey:
		return passkey
	case nameNewHash:
		return hashMethod
	}
	return ""
}

const (
	namePasskey = "Passkey"
	nameNewHash = "Newer app"
)

// count writes a new counter into every element. Elements that had a field that
// must be understood get it back.
func (s *nextStore) count(key string, w *wires, before wires) {
	s.serial++
	old := shapeOf(key).extras(before)
	shapeOf(key).walk(w, func(id string, w *wires) {
		w.putNum(fieldCount, s.serial)
		if parseWires(old[id]).has(fieldMust) {
			w.putNum(fieldMust, 1)
		}
		if id == "user" {
			w.putNum(fieldLasting, s.serial)
		}
	})
}

// verify reports a field of the next release that is lost or changed. Elements
// may be removed, but every element that is left must have its fields. If the
// last factor was removed, it must have those alone that survive a reset.
func (s *nextStore) verify(key string) {
	stored, version := s.get(key)
	seen := s.seen[key]
	switch {
	case version == "":
		delete(s.seen, key)
		return
	case seen.version == version:
		return
	}
	w := s.open(stored)
	now := shapeOf(key).extras(w)
	there := map[string]bool{}
	shapeOf(key).walk(&w, func(id string, _ *wires) { there[id] = true })
	want := map[string]string{}
	for id, x := range seen.extras {
		if there[id] {
			want[id] = x
		}
	}
	turnedOff := key[:5] == "user/" && (seen.factors > 0 && w.factors() == 0 || seen.reset)
	for id := range want {
		if !turnedOff || s.kept[key] == version && strings.HasPrefix(id, "address/") {
			continue
		}
		want[id] = slices.DeleteFunc(parseWires(want[id]), func(f wire) bool { return f.number&2 == 0 }).String()
		if want[id] == "" {
			delete(want, id)
		}
	}
	require.Equal(s.t, want, now, "%s: this release keeps the fields of the next one (turned off: %v)", key, turnedOff)
	if _, had := seen.extras["digest/"+nextDigest]; had {
		require.Contains(s.t, now, "digest/"+nextDigest, "a part of Config that only the next release has")
	}
	s.seen[key] = nextSeen{version: version, extras: now, factors: w.factors()}
}

// refused reports whether this release must refuse a record.
func (s *nextStore) refused(key string) bool { return s.refusedBy(key, false) }

// refusedBy also answers for an older release, which sees less.
func (s *nextStore) refusedBy(key string, older bool) bool {
	r, version := s.get(key)
	if version == "" {
		return false
	}
	last := s.checked[key]
	if last.version != version {
		w := s.open(r)
		last = nextChecked{version: version, refused: s.restricts(key, w)}
		w.takeHelp()
		last.older = s.restricts(key, w)
		s.checked[key] = last
	}
	if older {
		return last.older
	}
	return last.refused
}

func (s *nextStore) restricts(key string, w wires) bool {
	for _, x := range shapeOf(key).extras(w) {
		if parseWires(x).has(fieldMust) {
			return true
		}
	}
	policy := parseWires(w.text(5))
	return shapeOf(key) == shapeAccount && slices.ContainsFunc(policy, func(f wire) bool { return f.number == 5 && f.text == string(passkey) })
}

// restrict writes a record of the next release with a restriction in one
// element, chosen by pick, or lifts all.
func (s *nextStore) restrict(key string, pick func(ids []string) string) (what string) {
	w, version := s.raw(key)
	if version == "" {
		return ""
	}
	lift := s.refused(key)
	var ids []string
	shapeOf(key).walk(&w, func(id string, w *wires) {
		if w.drop(fieldMust); id == "policy" {
			*w = slices.DeleteFunc(*w, func(f wire) bool { return f.number == 5 && f.text == string(passkey) })
			ids = append(ids, "word")
		}
		ids = append(ids, id)
	})
	s.count(key, &w, nil)
	what = "no longer restricts"
	if !lift {
		chosen := pick(ids)
		what = "restricts " + chosen
		shapeOf(key).walk(&w, func(id string, w *wires) {
			switch {
			case chosen == id:
				w.putNum(fieldMust, 1)
			case chosen == "word" && id == "policy":
				addWord(w)
			}
		})
	}
	require.NoError(s.t, s.put(context.Background(), version, key, "next "+strconv.FormatUint(s.serial, 10), w))
	return what
}

// Tokens.

func (s *nextStore) openToken(token string) wires {
	_, body, _ := strings.Cut(token, ".")
	sealed, err := base64.RawURLEncoding.DecodeString(body)
	require.NoError(s.t, err)
	plain, err := seal.Open(sealed, s.key.Tokens, "token 1", "k1")
	require.NoError(s.t, err)
	return parseWires(plain)
}

func (s *nextStore) sealToken(w wires) string {
	buf := append(make([]byte, seal.NonceSize), w.String()...)
	return "k1." + base64.RawURLEncoding.EncodeToString(seal.Seal(buf, 0, s.key.Tokens, "token 1", "k1"))
}

// presentToken turns a token into what the Manager of the next release
// understands.
func (s *nextStore) presentToken(token string) string {
	w := s.openToken(token)
	if w.has(fieldMust) {
		w.drop(fieldMust)
		w.putNum(fieldHidden, 1)
	}
	w.eachOf(48, func(p *wires) {
		if method, ok := strings.CutSuffix(p.text(4), string(passkey)); ok {
			p.putText(4, method+string(twofa.TOTP))
			p.putNum(fieldPasskey, 1)
		}
	})
	return s.sealToken(w)
}

// issueToken turns a token of that Manager into one of the next release.
func (s *nextStore) issueToken(token string, must bool) string {
	w := s.openToken(token)
	user, _ := s.raw("user/" + w.text(17))
	proven := map[string]bool{} // proofs by passkey, of which the Manager does not know
	user.eachOf(25, func(f *wires) {
		if f.text(8) == string(passkey) {
			proven[fmt.Sprint(twofa.TOTP, f.num(32))] = true
		}
	})
	user.eachOf(48, func(b *wires) {
		if b.text(36) == string(passkey) {
			proven[fmt.Sprint(byBrowser(twofa.TOTP), b.num(32))] = true
		}
	})
	s.serial++
	w.eachOf(48, func(p *wires) {
		if proven[fmt.Sprint(p.text(4), p.num(8))] && !p.has(fieldCount) {
			p.putNum(fieldCount, s.serial)
		}
		if method, ok := strings.CutSuffix(p.text(4), string(twofa.TOTP)); ok && (p.has(fieldCount) || p.has(fieldPasskey)) {
			p.putText(4, method+string(passkey))
		}
		p.drop(fieldPasskey)
	})
	if w.has(fieldHidden) {
		w.drop(fieldHidden)
		must = true
	}
	if must {
		w.putNum(fieldMust, 1)
	}
	if !w.has(fieldCount) {
		w.putNum(fieldCount, s.serial)
	}
	return s.sealToken(w)
}
