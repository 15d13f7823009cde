// Package sendlimit limits what one process hands to a mail server or gateway: how many
// messages at the same time, and how many a second. It wraps any [twofa.Mailer] or
// [twofa.SMSSender]:
//
//	mailer, err := sendlimit.NewMailer(smtp, sendlimit.Limits{Concurrent: 4, PerSecond: 10})
//	cfg := twofa.Config{Mail: twofa.MailConfig{Mailer: mailer, …}}
//
// A message waits in line until its context ends, and the call returns the result of the
// gateway. It therefore keeps the promise of [twofa.Mailer]: nil means that the gateway
// has accepted the message, and nothing is lost if the process ends. It is not a queue
// that delivers later. For one, see package examples/outbox.
//
// If the gateway hangs, messages are refused at once for a while, so that users need not wait
// for the timeout to learn that they must use another method.
package sendlimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twofa-go/twofa"
)

// Errors of a message that was not handed to the gateway. The Manager returns
// [twofa.ErrUnavailable] for both.
var (
	// ErrBusy means that too many messages are waiting, or that the context would
	// end before it is the message's turn.
	ErrBusy = errors.New("sendlimit: too many messages are waiting")
	// ErrHanging means that the gateway hung several times in succession.
	ErrHanging = errors.New("sendlimit: the gateway hangs, and is tried again later")
)

// Limits are the limits of one gateway in one process. The zero Limits have the
// defaults.
type Limits struct {
	// Concurrent is the most messages that are handed over at the same time. If
	// zero, it defaults to 8.
	Concurrent int
	// PerSecond is the most messages that are handed over in a second. If zero,
	// there is no such limit.
	PerSecond int
	// Waiting is the most messages that wait in line. If zero, it defaults to 100.
	// Each is a request that a user is waiting for, and that uses memory.
	Waiting int
	// Hang is the time after which a message that fails counts as one for which the
	// gateway hung. If zero, it defaults to 4 seconds. It should be less than the
	// timeout of the sender, which is 5 seconds for notices. If it is very short, attackers can stop the sending of
	// messages by hanging up, or by setting short deadlines for their requests.
	Hang time.Duration
	// Hangs is the number of such messages in succession after which the gateway is
	// not used for a while. If zero, it defaults to 5.
	Hangs int
	// Pause is the time for which the gateway is then not used. After that, one
	// message is handed over in each Pause until one is accepted or refused in time.
	// If zero, it defaults to 10 seconds.
	Pause time.Duration
}

// Mailer is a [twofa.Mailer] with limits. Create a Mailer with [NewMailer]. It may be
// used by many goroutines at once.
type Mailer struct {
	next twofa.Mailer
	line *line
}

// NewMailer returns a Mailer that hands messages to next, or an error that names every
// invalid field of l.
func NewMailer(next twofa.Mailer, l Limits) (*Mailer, error) {
	line, err := newLine(next == nil, l)
	if err != nil {
		return nil, err
	}
	return &Mailer{next, line}, nil
}

// SendMail waits until it is the turn of e, and returns the result of the wrapped
// Mailer. It returns [ErrBusy] or [ErrHanging] at once, or the error of ctx if ctx ends
// while e is waiting. Then e was not sent.
func (m *Mailer) SendMail(ctx context.Context, e twofa.Email) error {
	return m.line.do(ctx, func() error { return m.next.SendMail(ctx, e) })
}

// SMSSender is a [twofa.SMSSender] with limits. Create an SMSSender with [NewSMSSender].
// It may be used by many goroutines at once.
type SMSSender struct {
	next twofa.SMSSender
	line *line
}

// NewSMSSender is like [NewMailer], for text messages.
func NewSMSSender(next twofa.SMSSender, l Limits) (*SMSSender, error) {
	line, err := newLine(next == nil, l)
	if err != nil {
		return nil, err
	}
	return &SMSSender{next, line}, nil
}

// SendSMS is like [Mailer.SendMail].
func (s *SMSSender) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	return s.line.do(ctx, func() error { return s.next.SendSMS(ctx, m) })
}

// line is where messages wait.
type line struct {
	Limits
	places chan struct{} // has one element for each message that is being handed over
	each   time.Duration // between two messages; 0 without a rate

	mu      sync.Mutex
	waiting int
	turn    time.Time // earliest start of the next message
	hangs   int       // in succession
	again   time.Time // when a gateway that hangs is tried again
}

func newLine(missing bool, l Limits) (*line, error) {
	var problems []error
	for _, p := range []struct {
		wrong bool
		text  string
	}{
		{missing, "next: required"},
		{l.Concurrent < 0, fmt.Sprintf("Concurrent: must be 0 or more, is %d", l.Concurrent)},
		{l.PerSecond < 0, fmt.Sprintf("PerSecond: must be 0 or more, is %d", l.PerSecond)},
		{l.Waiting < 0, fmt.Sprintf("Waiting: must be 0 or more, is %d", l.Waiting)},
		{l.Hang < 0, fmt.Sprintf("Hang: must be 0 or more, is %v", l.Hang)},
		{l.Hangs < 0, fmt.Sprintf("Hangs: must be 0 or more, is %d", l.Hangs)},
		{l.Pause < 0, fmt.Sprintf("Pause: must be 0 or more, is %v", l.Pause)},
	} {
		if p.wrong {
			problems = append(problems, errors.New(p.text))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("sendlimit: %w", errors.Join(problems...))
	}
	l.Concurrent, l.Waiting, l.Hangs = cmp.Or(l.Concurrent, 8), cmp.Or(l.Waiting, 100), cmp.Or(l.Hangs, 5)
	l.Hang, l.Pause = cmp.Or(l.Hang, 4*time.Second), cmp.Or(l.Pause, 10*time.Second)
	q := &line{Limits: l, places: make(chan struct{}, l.Concurrent)}
	if l.PerSecond > 0 {
		q.each = time.Second / time.Duration(l.PerSecond)
	}
	return q, nil
}

// do calls send when it is its turn.
func (q *line) do(ctx context.Context, send func() error) error {
	if err := q.join(ctx); err != nil {
		return err
	}
	select {
	case q.places <- struct{}{}:
		defer func() { <-q.places }()
		q.leave()
	case <-ctx.Done():
		q.leave()
		return fmt.Errorf("sendlimit: waiting: %w", ctx.Err())
	}
	wait, err := q.start(ctx)
	if err != nil {
		return err
	}
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-turn.C:
	case <-ctx.Done():
		return fmt.Errorf("sendlimit: waiting: %w", ctx.Err())
	}
	began := time.Now()
	err = send() // a panic ends it like an error that says nothing about the gateway
	q.finish(ctx, err, time.Since(began))
	return err
}

// join adds a message to the line, unless it is hopeless.
func (q *line) join(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	switch {
	case q.hangs >= q.Hangs && now.Before(q.again):
		return ErrHanging
	case q.waiting >= q.Waiting || q.late(ctx, now, time.Duration(q.waiting)*q.each):
		return ErrBusy
	}
	q.waiting++
	return nil
}

func (q *line) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting--
}

// late reports whether ctx ends before a message starts that waits for others.
func (q *line) late(ctx context.Context, now time.Time, others time.Duration) bool {
	end, ok := ctx.Deadline()
	return ok && !later(now, q.turn).Add(others).Before(end)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// start returns the time until the turn of a message that has a place. The gateway may
// have begun to hang while the message was waiting.
func (q *line) start(ctx context.Context) (wait time.Duration, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if q.late(ctx, now, 0) {
		return 0, ErrBusy
	}
	if q.hangs >= q.Hangs {
		if now.Before(q.again) {
			return 0, ErrHanging
		}
		q.again = now.Add(q.Pause) // this message tries it, and no other meanwhile
	}
	at := later(now, q.turn)
	q.turn = at.Add(q.each)
	return at.Sub(now), nil
}

// finish counts whether the gateway hung. A message whose context ended early says
// nothing, because the client may have hung up.
func (q *line) finish(ctx context.Context, err error, took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err != nil && took >= q.Hang:
		if q.hangs++; q.hangs >= q.Hangs {
			q.again = time.Now().Add(q.Pause)
		}
	case err == nil || ctx.Err() == nil:
		q.hangs = 0
	}
}
