package sqlstore

import (
	"encoding/json"
	"strconv"

	"github.com/twofa-go/twofa"
)

// usualEvent is enough bytes for most, so that encoding one takes one allocation.
const usualEvent = 640

// encodeEvent returns what json.Marshal returns for e, as text. Every verification
// stores an event, and json.Marshal takes more than twice as long. It is left to
// encode events with values that are JSON themselves, which are rare.
func encodeEvent(e *twofa.Event) (string, error) {
	if len(e.Before)+len(e.After)+len(e.MAC) > 0 {
		data, err := json.Marshal(e)
		return string(data), err
	}
	b := append(make([]byte, 0, usualEvent), `{"id":`...)
	b = appendText(b, e.ID)
	b = strconv.AppendUint(append(b, `,"seq":`...), e.Seq, 10)
	b, err := e.Time.AppendText(append(b, `,"time":"`...))
	if err != nil {
		return "", err
	}
	b = appendText(append(b, `","type":`...), e.Type)
	b = appendMember(b, "user", e.User)
	b = appendMember(b, "account", e.Account)
	if e.Actor != (twofa.EventActor{}) {
		b = appendText(append(b, `,"actor":{"kind":`...), e.Actor.Kind)
		b = appendMember(b, "id", e.Actor.ID)
		b = append(appendMember(b, "role", e.Actor.Role), '}')
	}
	b = appendMember(b, "method", string(e.Method))
	b = appendMember(b, "session", e.Session)
	b = appendMember(b, "ip", e.IP)
	b = appendMember(b, "agent", e.Agent)
	b = appendMember(b, "request", e.Request)
	b = appendMember(b, "reason", e.Reason)
	b = appendMember(b, "case", e.Case)
	b = appendMember(b, "act", e.Act)
	b = appendMember(b, "detail", e.Detail)
	if e.Left != 0 {
		b = strconv.AppendInt(append(b, `,"left":`...), int64(e.Left), 10)
	}
	if e.Notice {
		b = append(b, `,"notice":true`...)
	}
	return string(append(b, '}')), nil
}

// appendMember appends a member of a JSON object, unless its text is empty.
func appendMember(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return appendText(b, text)
}

// appendText appends a JSON string. Text that needs escapes is rare.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(text) // never fails for a string
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}
