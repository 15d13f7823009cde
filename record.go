package twofa

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"io"
)

// schema is the number of the format written here. A release reads schema n+1
// before any release writes it; anything newer is refused.
const schema = "1"

// maxRecord bounds what is read and written. A user's record stays far below:
// every list in it is bounded.
const maxRecord = 64 << 10

// encode makes a record of v under a version of its own. Data is one header
// line, "schema key-id mac", and JSON. The MAC covers key, version and all of
// Data, so that who can write the database but has no key can forge nothing,
// nor move a record to another user; putting back an old row or deleting one
// is what such a writer can still do (docs/threat-model.md).
func (k Keys) encode(key string, v any) (Record, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return Record{}, err
	}
	if len(body) > maxRecord-128 {
		return Record{}, &RecordError{key, "too large"}
	}
	version := newID()
	signer := k.all()[0]
	data := make([]byte, 0, len(schema)+len(signer.id)+len(body)+48)
	data = append(append(append(data, schema+" "...), signer.id...), ' ')
	data = base64.RawURLEncoding.AppendEncode(data, signer.sign(key, version, schema, body))
	return Record{key, version, append(append(data, '\n'), body...)}, nil
}

// decode checks and reads a record into v.
func (k Keys) decode(r Record, v any) error {
	if len(r.Data) > maxRecord {
		return &RecordError{r.Key, "too large"}
	}
	header, body, ok := bytes.Cut(r.Data, []byte{'\n'})
	f := bytes.Split(header, []byte{' '})
	if !ok || len(f) != 3 {
		return &RecordError{r.Key, "no header"}
	}
	if string(f[0]) != schema {
		return &RecordError{r.Key, "schema is newer than this release reads"}
	}
	signer, ok := k.byID(string(f[1]))
	if !ok {
		return &RecordError{r.Key, "signed with a key that is not in the ring"}
	}
	mac, err := base64.RawURLEncoding.Strict().AppendDecode(nil, f[2])
	if err != nil || !hmac.Equal(mac, signer.sign(r.Key, r.Version, schema, body)) {
		return &RecordError{r.Key, "does not authenticate"}
	}
	// What this release does not know may be a restriction: refuse it.
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &RecordError{r.Key, "does not decode"}
	}
	if _, err := d.Token(); err != io.EOF {
		return &RecordError{r.Key, "has trailing data"}
	}
	return nil
}

func (k ringKey) sign(key, version, schema string, body []byte) []byte {
	mac := k.mac()
	mac.Write(pack(key, version, schema, k.id))
	mac.Write(body)
	return mac.Sum(nil)
}

func (k Keys) byID(id string) (ringKey, bool) {
	for _, key := range k.all() {
		if key.id == id {
			return key, true
		}
	}
	return ringKey{}, false
}

// userRecord is all second-factor state of one user, under "user/<id>". Times
// are Unix seconds; names are short because the record is read on every request.
type userRecord struct {
	Epoch    string             `json:"epoch"`           // replaced when credentials change; what carries another is dead
	Keep     string             `json:"keep,omitempty"`  // id of the one session that outlived the last change
	Stamp    string             `json:"stamp,omitempty"` // digest of User.Stamp as last seen
	Login    int64              `json:"login,omitempty"` // last completed login
	Factors  []factor           `json:"factors,omitempty"`
	Codes    *codeSet           `json:"codes,omitempty"`
	Setup    *setup             `json:"setup,omitempty"`
	Counters map[string]counter `json:"counters,omitempty"`
	Spent    []spent            `json:"spent,omitempty"`
	Grants   []grant            `json:"grants,omitempty"`
	Browsers []browser          `json:"browsers,omitempty"`
	Sent     []sent             `json:"sent,omitempty"`
	Sends    map[string][]int64 `json:"sends,omitempty"` // when something was sent, by method and bucket
	Told     int64              `json:"told,omitempty"`  // last notice of failures
}

// factor is an authenticator app or a phone.
type factor struct {
	ID     string `json:"id"`
	Method Method `json:"method"`
	Name   string `json:"name,omitempty"`
	Seal   string `json:"seal"`           // the key, or the number
	Step   int64  `json:"step,omitempty"` // last accepted time step: codes of it and before are spent
	Added  int64  `json:"added"`
	Used   int64  `json:"used,omitempty"`
}

// spent is the id of an attempt that is over, kept until it would have expired.
type spent struct {
	ID      string `json:"id"`
	Expires int64  `json:"exp"`
}

const maxSpent = 32
