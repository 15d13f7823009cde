package storetest

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

var eventFieldRules = []storeRule{
	{name: "events of every kind", events: true, text: "events may have no user, no account or no actor, and are stored with changes of keys of every kind", check: func(p *storeProbe) {
		type names struct{ user, account, actor string }
		var all []twofa.Event
		for i, space := range spaces {
			for j, n := range []names{{p.id, "", ""}, {"", p.id, ""}, {"", "", p.id}, {"", p.id, p.id}, {p.id, p.id, ""}, {"", "", ""}} {
				e := p.event(i)
				e.User, e.Account, e.Actor.ID, e.Type = n.user, n.account, n.actor, p.id
				if n.actor == "" {
					e.Actor = twofa.EventActor{}
				}
				r := p.record(space + p.id + strconv.Itoa(j))
				p.swap("", r, e)
				p.swap("", r, p.event(99)) // a repetition
				all = append(all, e)
			}
		}
		for _, q := range []twofa.EventQuery{{Types: []string{p.id}}, {User: p.id}, {Account: p.id}, {Actor: p.id}, {User: p.id, Account: p.id}} {
			var want []twofa.Event
			for _, e := range all {
				if selects(q, e) {
					want = append(want, e)
				}
			}
			for _, q.Limit = range []int{0, 2} {
				p.wantEvents(q, want...)
			}
		}
	}},
	{name: "events long", events: true, text: "IDs of users, accounts and actors of 512 bytes, types of 64 bytes, and texts and values of any length up to 32 KB are stored and compared without truncation", check: func(p *storeProbe) {
		long := func(tail string, n int) string {
			fill := n - len(p.id) - len(tail)
			return p.id + strings.Repeat("ü", fill/2) + strings.Repeat("x", fill%2) + tail
		}
		var all []twofa.Event
		for i, tail := range []string{"1", "2", "11"} {
			e := p.event(i)
			e.User, e.Account, e.Actor.ID = long("u"+tail, 512), long("a"+tail, 512), long("b"+tail, 512)
			e.Type = (p.id + strings.Repeat("t", 64))[:64-len(tail)] + tail
			e.ID = (e.ID + strings.Repeat("i", 64))[:64]
			e.Agent, e.Detail, e.Reason, e.Request, e.Case = long(tail, 1000), long(tail, 600), long(tail, 2000), long(tail, 300), long(tail, 300)
			e.MAC = []byte(long(tail, 255))
			value := json.RawMessage(`{"text": "` + strings.Repeat("é <&> ", 3500) + tail + `"}`)
			e.Before, e.After = value, value
			all = append(all, e)
			p.swap("", p.sized(p.key(strconv.Itoa(i)), 64<<10), e)
		}
		for i, e := range all {
			p.wantEvents(twofa.EventQuery{User: e.User}, all[i])
			p.wantEvents(twofa.EventQuery{Account: e.Account}, all[i])
			p.wantEvents(twofa.EventQuery{Actor: e.Actor.ID}, all[i])
			p.wantEvents(twofa.EventQuery{Types: []string{e.Type}}, all[i])
			for _, n := range []int{64, 255, 511} {
				p.wantEvents(twofa.EventQuery{User: strings.ToValidUTF8(e.User[:n], "")})
			}
		}
	}},
	{name: "events extreme", events: true, text: "every value of a field is stored unchanged: times before 1970 and after 2038, the largest Seq and Left, and fields that are empty", check: func(p *storeProbe) {
		var all []twofa.Event
		for i, at := range []int64{-1 << 33, -1, 0, 1, firstSecond, 1<<31 - 1, 1 << 31, 1 << 32, 253_402_300_799} {
			e := twofa.Event{ID: p.event(0).ID, Time: time.Unix(at, 0).UTC(), Type: "t", User: p.id}
			switch i % 3 {
			case 0:
				e.Seq, e.Left = 1<<63-1, 1<<31-1
			case 1:
				e.Notice, e.Before = true, json.RawMessage(`{"max": 9007199254740993, "f": 1e-7, "a": [1, "1", true, null, []]}`)
			}
			p.swap("", p.record(p.key(strconv.Itoa(i))), e)
			all = append(all, e)
		}
		for _, forward := range []bool{false, true} {
			for _, limit := range []int{1, 100} {
				p.wantEvents(twofa.EventQuery{User: p.id, Forward: forward, Limit: limit}, all...)
			}
			p.wantEvents(twofa.EventQuery{User: p.id, Forward: forward, Since: all[1].Time, Until: all[7].Time}, all[1:7]...)
		}
	}},
	{name: "events many", events: true, text: "a Swap may have many events, and all of them are stored", check: func(p *storeProbe) {
		for i, n := range []int{1, 10, 60, 3} {
			events := p.eventsAt(i, n)
			for j := range events {
				events[j].User = p.id + strconv.Itoa(i)
			}
			p.swap("", p.sized(p.key(strconv.Itoa(i)), 20_000), events...)
			p.wantEvents(twofa.EventQuery{User: p.id + strconv.Itoa(i), Limit: 7}, events...)
		}
	}},
}
