package twofahttp

import (
	"io"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/eventfile"
)

// activityBatch is how many events of a download are read at once. Each has at most
// two users, and Account.Names takes 1,000.
const activityBatch = 500

// getActivityCSV and getActivityLines download the activity that the filters keep,
// the oldest first, up to a minute ago, so that an event which is stored late is in
// the next file. The first part is read before anything is sent, so that an error then
// has an ordinary answer. If a later part fails, the connection is aborted, because a
// file that ends early would look complete. The library asks for the role of the admin
// at each part.
func (x *exchange) getActivityCSV() (view, error) {
	return x.activityFile(".csv", "text/csv; charset=utf-8", func(w io.Writer) eventfile.Writer {
		return eventfile.NewTable(w, true, func(users []string) (map[string]string, error) { return x.team("").Names(x.ctx(), users...) })
	})
}

func (x *exchange) getActivityLines() (view, error) {
	return x.activityFile(".jsonl", "application/jsonl", func(w io.Writer) eventfile.Writer { return eventfile.Lines{To: w} })
}

func (x *exchange) activityFile(extension, contentType string, format func(io.Writer) eventfile.Writer) (view, error) {
	v, err := x.activityView()
	if err != nil {
		return x.showActivity(v, err)
	}
	now := x.cfg.Now().UTC()
	q := v.query()
	q.Forward, q.Limit = true, activityBatch
	if settled := now.Add(-eventfile.Settled); q.Until.IsZero() || q.Until.After(settled) {
		q.Until = settled
	}
	read := func(q twofa.EventQuery) (twofa.EventPage, error) { return x.team("").Events(x.ctx(), q) }
	first, err := read(q)
	if err != nil {
		return view{}, err
	}
	write := func(w io.Writer) error {
		begun := false
		return eventfile.Copy(format(w), &q, func(q twofa.EventQuery) (twofa.EventPage, error) {
			if !begun {
				begun = true
				return first, nil
			}
			return read(q)
		}, func(int, string) { x.partSent() })
	}
	return view{stream: &stream{contentType, "activity-" + now.Format(time.DateOnly) + extension, write}}, nil
}
