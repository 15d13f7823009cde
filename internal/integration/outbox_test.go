package integration

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/outbox"
	"github.com/twofa-go/twofa/storetest"
	"github.com/twofa-go/twofa/twofatest"
)

// outboxDB is a database that refuses or hangs on demand. If it hangs, the row is
// stored, but the answer never comes.
type outboxDB struct {
	*sql.DB
	mu             sync.Mutex
	refuses, hangs bool
}

func (db *outboxDB) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	db.mu.Lock()
	refuses, hangs := db.refuses, db.hangs
	db.mu.Unlock()
	if refuses {
		return nil, errors.New("read-only")
	}
	res, err := db.DB.ExecContext(ctx, query, args...)
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return res, err
}

func (db *outboxDB) set(refuses, hangs bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.refuses, db.hangs = refuses, hangs
}

var errNotNow = errors.New("not now")

func openOutbox(t *testing.T) (*outbox.Outbox, *outboxDB, *twofatest.Outbox, *twofatest.Clock) {
	t.Helper()
	db := &outboxDB{DB: databases[0].fresh(t).open(t)}
	_, err := db.DB.ExecContext(t.Context(), outbox.Schema)
	require.NoError(t, err)
	block, err := aes.NewCipher(bytes.Repeat([]byte("k"), 32))
	require.NoError(t, err)
	aead, err := cipher.NewGCMWithRandomNonce(block)
	require.NoError(t, err)
	sent, clock := &twofatest.Outbox{}, twofatest.NewClock(time.Now())
	return &outbox.Outbox{
		DB: db, AEAD: aead, Mailer: sent, SMS: sent, Now: clock.Now,
		Retry: func(err error) bool { return errors.Is(err, errNotNow) },
	}, db, sent, clock
}

// stored returns the messages in the table.
func stored(t *testing.T, o *outbox.Outbox, db *outboxDB) (mails []twofa.Email) {
	rows, err := db.QueryContext(context.WithoutCancel(t.Context()), `SELECT id, sealed FROM outbox`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		var sealed []byte
		require.NoError(t, rows.Scan(&id, &sealed))
		plain, err := o.AEAD.Open(nil, nil, sealed, []byte(id))
		require.NoError(t, err)
		require.NotContains(t, string(sealed), "code")
		var m struct{ To, Subject, Text string }
		require.NoError(t, json.Unmarshal(plain, &m))
		mails = append(mails, twofa.Email{To: m.To, Subject: m.Subject, Text: twofa.NewSecret(m.Text)})
	}
	require.NoError(t, rows.Err())
	return mails
}

func TestOutbox_Conformance(t *testing.T) {
	t.Run("mail", func(t *testing.T) {
		storetest.RunMailer(t, func(t *testing.T) storetest.MailerPeer {
			o, db, _, _ := openOutbox(t)
			return storetest.MailerPeer{
				Mailer: o, Taken: func() []twofa.Email { return stored(t, o, db) },
				Refuse: func() { db.set(true, false) }, Hang: func() { db.set(false, true) },
			}
		})
	})
	t.Run("text message", func(t *testing.T) {
		storetest.RunSMSSender(t, func(t *testing.T) storetest.SMSPeer {
			o, db, _, _ := openOutbox(t)
			taken := func() (texts []twofa.TextMessage) {
				for _, m := range stored(t, o, db) {
					texts = append(texts, twofa.TextMessage{To: m.To, Body: m.Text})
				}
				return texts
			}
			return storetest.SMSPeer{Sender: o, Taken: taken, Refuse: func() { db.set(true, false) }, Hang: func() { db.set(false, true) }}
		})
	})
}

// deliverAll hands over all messages that are due, and returns the errors.
func deliverAll(t *testing.T, o *outbox.Outbox) (all error) {
	t.Helper()
	for {
		found, err := o.Deliver(t.Context())
		all = errors.Join(all, err)
		if !found {
			return all
		}
	}
}

func TestOutbox_DeliversEachMessageOnce(t *testing.T) {
	o, db, sent, _ := openOutbox(t)
	for range 20 {
		require.NoError(t, o.SendMail(t.Context(), aMail()))
		require.NoError(t, o.SendSMS(t.Context(), twofa.TextMessage{To: "+41791234567", Body: twofa.NewSecret("code 1"), Language: "de"}))
	}
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				if found, err := o.Deliver(t.Context()); err != nil || !found {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	workers.Wait()
	require.NoError(t, deliverAll(t, o))
	require.Len(t, sent.Mails(), 20)
	require.Len(t, sent.Texts(), 20)
	require.Equal(t, aMail().HTML.Reveal(), sent.Mails()[0].HTML.Reveal())
	require.Equal(t, "de", sent.Texts()[0].Language)
	require.Empty(t, stored(t, o, db))
}

func TestOutbox_DropsExpiredMessages(t *testing.T) {
	o, db, sent, clock := openOutbox(t)
	link, notice := aMail(), aMail()
	link.Expires = clock.Now().Add(10 * time.Minute)
	require.NoError(t, o.SendMail(t.Context(), link))
	require.NoError(t, o.SendMail(t.Context(), notice))
	clock.Add(10 * time.Minute)
	require.NoError(t, deliverAll(t, o))
	require.Len(t, sent.Mails(), 1)
	require.Zero(t, sent.Mails()[0].Expires, "a notice is worth sending even then")
	require.Empty(t, stored(t, o, db))
}

type failingMailer struct {
	twofatest.Outbox
	err error
}

func (m *failingMailer) SendMail(ctx context.Context, e twofa.Email) error {
	_ = m.Outbox.SendMail(ctx, e)
	return m.err
}

func TestOutbox_RetriesOnlyWhatWasNotAccepted(t *testing.T) {
	for _, tc := range []struct {
		err   error
		tries int
	}{{errNotNow, 40}, {errors.New("connection lost"), 1}, {twofa.ErrUndeliverable, 1}} {
		t.Run(tc.err.Error(), func(t *testing.T) {
			o, db, _, clock := openOutbox(t)
			mailer := &failingMailer{err: tc.err}
			o.Mailer = mailer
			link := aMail()
			link.Expires = clock.Now().Add(10 * time.Minute)
			require.NoError(t, o.SendMail(t.Context(), link))
			for range 60 {
				if err := deliverAll(t, o); err != nil {
					require.ErrorIs(t, err, tc.err)
				}
				clock.Add(15 * time.Second)
			}
			require.Len(t, mailer.Mails(), tc.tries)
			require.Empty(t, stored(t, o, db))
		})
	}
}

// A server that is stopped loses no message that a worker has just taken.
func TestOutbox_FinishesTheMessageThatItHasTaken(t *testing.T) {
	o, db, sent, _ := openOutbox(t)
	require.NoError(t, o.SendMail(t.Context(), twofa.Email{To: "ada@example.com", Subject: "Sign in", Text: twofa.NewSecret("code")}))
	ctx, stop := context.WithCancel(t.Context())
	o.Mailer = mailerFunc(func(ctx context.Context, e twofa.Email) error {
		stop()
		if err := ctx.Err(); err != nil {
			return err
		}
		return sent.SendMail(ctx, e)
	})
	found, err := o.Deliver(ctx)
	require.NoError(t, err)
	require.True(t, found)
	require.Len(t, sent.Mails(), 1)
	require.Empty(t, stored(t, o, db))
	_, err = o.Deliver(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

type mailerFunc func(ctx context.Context, e twofa.Email) error

func (f mailerFunc) SendMail(ctx context.Context, e twofa.Email) error { return f(ctx, e) }

// A row that was changed is not a message, and is dropped.
func TestOutbox_ChangedRow(t *testing.T) {
	o, db, sent, _ := openOutbox(t)
	require.NoError(t, o.SendMail(t.Context(), aMail()))
	_, err := db.DB.ExecContext(t.Context(), `UPDATE outbox SET id = 'other'`)
	require.NoError(t, err)
	require.ErrorContains(t, deliverAll(t, o), "cannot be decrypted")
	require.Empty(t, sent.Mails())
}
