package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/harness"
)

// lister is a store that can list keys and whose other calls may fail.
type lister struct {
	*harness.FaultStore
	twofa.KeyLister
}

// rotated returns a product with n users. Its program has a new key in front of the
// old one.
func rotated(t *testing.T, n int) (p *product, s *lister, after twofa.KeyRing) {
	p = newProduct(t)
	before, next := twofa.GenerateKeyRing().Reveal(), twofa.GenerateKeyRing().Reveal()
	ring := func(text string) twofa.KeyRing {
		keys, err := twofa.ParseKeyRing(text)
		require.NoError(t, err)
		return keys
	}
	p.cfg.Manager = p.manager(p.store, ring(before))
	for i := range n {
		id := fmt.Sprintf("u%05d", i)
		p.users[id] = twofa.User{ID: id, Emails: []string{id + "@example.com"}}
		p.enroll(id)
	}
	require.NoError(t, p.cfg.Manager.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
	require.NoError(t, p.cfg.Manager.Ready(t.Context()))
	s = &lister{&harness.FaultStore{Store: p.store}, p.store}
	p.cfg.Store, p.cfg.Manager = s, p.manager(s, ring(next+","+before))
	return p, s, ring(next)
}

// opens checks that every record can be read with a ring.
func (p *product) opens(keys twofa.KeyRing, n int) {
	p.t.Helper()
	m := p.manager(p.store, keys)
	require.NoError(p.t, m.Ready(p.t.Context()))
	info, err := m.Account(twofa.AsHost("test"), "acme").Policy(p.t.Context())
	require.NoError(p.t, err)
	require.False(p.t, info.Default)
	for i := range n {
		d, err := m.User(twofa.AsHost("test"), fmt.Sprintf("u%05d", i)).Export(p.t.Context())
		require.NoError(p.t, err)
		require.Len(p.t, d.Factors, 1)
	}
}

func TestRekey(t *testing.T) {
	const n = 950 // not a multiple of a batch
	p, _, after := rotated(t, n)
	events := len(p.events(twofa.EventQuery{Limit: 1000}))
	out := p.must("rekey")
	require.Regexp(t, `^Encrypted again +952\nAlready under the first key +0\nDeleted, of phone numbers +0\nNot done +0\nTime +\d`, out)
	p.opens(after, n)
	require.Len(t, p.events(twofa.EventQuery{Limit: 1000}), events)
	var printed struct{ Records, Rekeyed, Current int }
	require.NoError(t, json.Unmarshal([]byte(p.must("rekey", "-json", "-workers", "1")), &printed))
	require.Equal(t, 952, printed.Records)
	require.Equal(t, 952, printed.Current)
	require.Zero(t, printed.Rekeyed)
}

// A second run reads only, and as many records at once as a batch has.
func TestRekey_SkipsCheaply(t *testing.T) {
	p, s, _ := rotated(t, 950)
	p.must("rekey")
	var mu sync.Mutex
	reads := 0
	s.Read = func([]string) error {
		mu.Lock()
		defer mu.Unlock()
		reads++
		return nil
	}
	s.Seen = func(string, twofa.Record) { t.Error("a write") }
	p.must("rekey")
	require.Equal(t, 5, reads)
}

// An interrupted run prints a command that continues after the last record before
// which all are done, whatever the order in which workers finish.
func TestRekey_Interrupted(t *testing.T) {
	const n = 2000
	for _, workers := range []string{"1", "2", "4"} {
		t.Run(workers, func(t *testing.T) {
			p, s, after := rotated(t, n)
			ctx, interrupt := context.WithCancel(t.Context())
			var mu sync.Mutex
			writes := 0
			s.Seen = func(string, twofa.Record) {
				mu.Lock()
				defer mu.Unlock()
				if writes++; writes == n/3 {
					interrupt()
				}
			}
			var errs bytes.Buffer
			p.cfg.Stdout, p.cfg.Stderr = io.Discard, &errs
			require.Equal(t, exitFailed, Main(ctx, p.cfg, []string{"rekey", "-workers", workers}))
			require.Contains(t, errs.String(), "acme operate rekey: interrupted, after ")
			next := regexp.MustCompile(`(?s)To continue, run:\n  acme operate (rekey -workers ` + workers + ` -after \S+)\n`).FindStringSubmatch(errs.String())
			require.NotNil(t, next, errs.String())
			args := strings.Fields(next[1])
			from := args[len(args)-1]
			require.Greater(t, from, "user/u00")
			s.Seen = func(_ string, r twofa.Record) { require.Greater(t, r.Key, from) }
			p.must(args...)
			p.opens(after, n)
		})
	}
}

// A batch that is finished before an earlier one does not move the place at which
// the next run continues.
func TestRekeying_Order(t *testing.T) {
	r := &rekeying{after: "start", finish: map[int]batch{}}
	for _, step := range []struct {
		number int
		key    string
		err    error
		after  string
	}{
		{2, "c", nil, "start"}, {1, "b", nil, "start"}, {0, "a", nil, "c"}, {4, "e", nil, "c"},
		{3, "d", errors.New("down"), "c"}, {5, "f", nil, "c"},
	} {
		r.add(batch{number: step.number, keys: []string{step.key}, err: step.err})
		require.Equal(t, step.after, r.after)
	}
	require.Equal(t, 5, r.records)
}

// Records that cannot be read are named, and stop nothing.
func TestRekey_UnreadableRecords(t *testing.T) {
	const n = 500
	p, _, after := rotated(t, n)
	for _, key := range []string{"user/\x1b[2Jbroken", "account/broken", "later/1"} {
		require.NoError(t, p.store.Swap(t.Context(), "", twofa.Record{Key: key, Version: "v", Data: []byte("2 lost\nx")}))
	}
	exit, stdout, stderr := p.run("rekey")
	require.Equal(t, exitFailed, exit)
	require.Regexp(t, `Encrypted again +502\n`, stdout)
	require.Regexp(t, `Not done +3\n`, stdout)
	require.Contains(t, stderr, `Not done: twofa: record "account/broken": is sealed with a key that is not in the ring`)
	require.Contains(t, stderr, `Not done: twofa: record "user/\x1b[2Jbroken"`)
	require.Contains(t, stderr, `Not done: twofa: record "later/1": is of a kind that this release does not know`)
	require.NotContains(t, stderr, "\x1b")
	require.Contains(t, stderr, "3 records are not under the first key\n")
	p.opens(after, n)
}

// If the store fails, the run stops at once and can be continued.
func TestRekey_StoreFails(t *testing.T) {
	const n = 1500
	p, s, after := rotated(t, n)
	s.Refuse = func(next twofa.Record) error {
		if strings.HasPrefix(next.Key, "user/u01") {
			return errors.New("disk full")
		}
		return nil
	}
	exit, _, stderr := p.run("rekey")
	require.Equal(t, exitFailed, exit)
	require.Contains(t, stderr, "disk full, after ")
	require.Contains(t, stderr, "To continue, run:\n  acme operate rekey -workers 4 -after user/u00")
	s.Refuse = nil
	p.must("rekey")
	p.opens(after, n)

	p.cfg.Store = struct {
		twofa.Store
		twofa.KeyLister
	}{p.store, failingLister{}}
	exit, _, stderr = p.run("rekey")
	require.Equal(t, exitFailed, exit)
	require.Contains(t, stderr, "no connection, after 0 of 0 records")
	require.Contains(t, stderr, "Run the command again. It skips what is done.")
}

type failingLister struct{}

func (failingLister) Keys(context.Context, string, int) ([]string, error) {
	return nil, errors.New("no connection")
}

// A store that lists keys in another order would never reach the end.
func TestRekey_StoreInWrongOrder(t *testing.T) {
	p, s, _ := rotated(t, 10)
	s.KeyLister = sameKeys{}
	exit, _, stderr := p.run("rekey")
	require.Equal(t, exitFailed, exit)
	require.Contains(t, stderr, "wrong order")
}

type sameKeys struct{}

func (sameKeys) Keys(context.Context, string, int) ([]string, error) {
	return []string{"user/a", "user/b"}, nil
}

// Users sign in while their records are encrypted again.
func TestRekey_WhileUsersSignIn(t *testing.T) {
	const n = 600
	p, _, after := rotated(t, n)
	var users sync.WaitGroup
	for w := range 3 {
		users.Go(func() {
			for i := w; i < n; i += 3 {
				if err := p.cfg.Manager.User(twofa.AsHost("test"), fmt.Sprintf("u%05d", i)).Revoke(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	p.must("rekey")
	users.Wait()
	p.opens(after, n)
}

func TestProgress(t *testing.T) {
	p, _, _ := rotated(t, 950)
	p.cfg.every = 1 // print a line at every batch
	_, _, stderr := p.run("rekey", "-workers", "1")
	require.Regexp(t, `(?m)^952 records found, [\d,]+ a second$`, stderr)
	require.Regexp(t, `(?m)^ 42 %  400 of 952 records, [\d,]+ a second, about \d+ seconds? left, done up to user/u00\d+$`, stderr)
	require.Regexp(t, `(?m)^100 %  952 of 952 records, [\d,]+ a second, done up to user/u00949$`, stderr)
	require.NotContains(t, stderr, "\r")

	var out bytes.Buffer
	bar := &progress{w: &out, terminal: true, unit: "records", total: 400, began: time.Now().Add(-10 * time.Second)}
	bar.show(100, "not on a terminal")
	bar.show(400, "")
	bar.clear()
	require.Regexp(t, `^\r\[#####---------------\]  25 %  100 of 400 records, 10 a second, about 3[01] seconds left\r\[#{20}\] 100 %  400 of 400 records, \d+ a second *\r *\r$`, out.String())
}

func TestRekey_WithoutLister(t *testing.T) {
	p := newProduct(t)
	p.cfg.Store = struct{ twofa.Store }{p.store}
	p.refused(exitFailed, "cannot list its keys", "rekey")
	_, _, stderr := p.run("rekey")
	require.Contains(t, stderr, "Call Manager.Rekey for every user and every account")
}
