package twofa

import "time"

// unixTime is a time in whole seconds since 1970, as records and tokens store
// it. Zero means never.
type unixTime int64

func unixTimeOf(t time.Time) unixTime { return unixTime(t.Unix()) }

func (t unixTime) add(d time.Duration) unixTime { return t + unixTime(d/time.Second) }

// sub returns t-u. It is for times that lie years apart at most.
func (t unixTime) sub(u unixTime) time.Duration { return time.Duration(t-u) * time.Second }

// within reports whether t, a time of issue, is less than age ago. A time that
// lies ahead of now by more than clocks may differ is not.
func (t unixTime) within(age time.Duration, now unixTime) bool {
	return t <= now.add(issueSlack) && now.sub(t) < age
}

// time returns t in UTC, or the zero Time if t is zero.
func (t unixTime) time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(int64(t), 0).UTC()
}

// now returns the time by [Config.Now].
func (m *Manager) now() unixTime { return unixTimeOf(m.cfg.Now()) }
