package sqlstore

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// The encoder writes what json.Marshal writes, for each field of an event alone,
// for all of them, and for text that needs escapes. A field that a later release
// adds fails here until the encoder knows it.
func TestEncodeEvent_IsJSON(t *testing.T) {
	texts := []string{"plain", `"quoted" \\ & <tag>`, "line\nbreak\x00\x7f", "Zürich\u2028 ☃", "\xff\xfe"}
	var all twofa.Event
	events := map[string]twofa.Event{"zero": {}, "times": {Time: time.Date(2026, 3, 2, 9, 0, 0, 7, time.FixedZone("", -3600))}}
	for i := range reflect.TypeFor[twofa.Event]().NumField() {
		for _, text := range texts {
			var alone twofa.Event
			fill(t, reflect.ValueOf(&alone).Elem().Field(i), text)
			fill(t, reflect.ValueOf(&all).Elem().Field(i), text)
			events[reflect.TypeFor[twofa.Event]().Field(i).Name+" "+text] = alone
		}
	}
	events["all"] = all
	all.Before, all.After, all.MAC = nil, nil, nil
	events["all without JSON"] = all
	events["large"] = twofa.Event{Seq: math.MaxUint64, Left: math.MinInt}
	for name, e := range events {
		want, err := json.Marshal(e)
		require.NoError(t, err, name)
		got, err := encodeEvent(&e)
		require.NoError(t, err, name)
		require.Equal(t, string(want), got, name)
	}
}

func TestEncodeEvent_RefusesTimesThatJSONRefuses(t *testing.T) {
	e := twofa.Event{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
	_, want := json.Marshal(e)
	require.Error(t, want)
	_, err := encodeEvent(&e)
	require.Error(t, err)
}

// fill sets a field, and the fields of a struct, to values that are not zero.
func fill(t *testing.T, v reflect.Value, text string) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)))
		return
	case json.RawMessage:
		v.SetBytes([]byte(`{"a": "<1>"}`))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.SetBytes([]byte(text))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), text)
		}
	default:
		t.Fatalf("a field of type %v has no value here", v.Type())
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	e := twofa.Event{ID: "VRMKXJ2KNJJ4HVIDTPWFCIRWWU", Seq: 7, Time: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), Type: "login", User: "user-1", Account: "acme",
		Method: twofa.TOTP, Session: "WDWBQLMTUNA3LLHG7MUUQ4Q5MB", IP: "192.0.2.7", Agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", Request: "8f14e45fceea167a", Detail: "password"}
	b.Run("encoder", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = encodeEvent(&e)
		}
	})
	b.Run("JSON", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = json.Marshal(&e)
		}
	})
}
