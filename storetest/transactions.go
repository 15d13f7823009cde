package storetest

import (
	"context"

	"github.com/twofa-go/twofa"
)

type transactionRule struct {
	name, text string
	check      func(p *storeProbe, begin func(context.Context) (context.Context, func()))
}

var transactionRules = []transactionRule{
	{"host rolls back", "a change for which Swap has returned nil is final, with its events, even if the host rolls its own transaction back afterwards", func(p *storeProbe, begin func(context.Context) (context.Context, func())) {
		changed, deleted := p.create(p.key("changed")), p.create(p.key("deleted"))
		for i, step := range []struct {
			prev string
			next twofa.Record
		}{
			{"", p.record(p.key("new"))},
			{changed.Version, p.record(changed.Key)},
			{deleted.Version, twofa.Record{Key: deleted.Key}},
		} {
			e := p.event(i)
			e.User = step.next.Key
			ctx, rollback := begin(p.Context())
			err := p.a.Swap(ctx, step.prev, step.next, e)
			rollback()
			p.noError(err)
			p.wantStoredOrMissing(step.next)
			if _, ok := p.b.(twofa.EventReader); ok {
				p.wantEvents(twofa.EventQuery{User: e.User}, e)
			}
		}
	}},
	{"host reads", "Get sees every Swap that returned nil before Get was called, even in a transaction of the host that has begun earlier", func(p *storeProbe, begin func(context.Context) (context.Context, func())) {
		r := p.create(p.key(""))
		ctx, rollback := begin(p.Context())
		defer rollback()
		found, err := p.b.Get(ctx, r.Key)
		p.noError(err)
		p.wantSame([]twofa.Record{r}, found)
		next := p.record(r.Key)
		p.swap(r.Version, next)
		found, err = p.b.Get(ctx, r.Key)
		p.noError(err)
		p.wantSame([]twofa.Record{next}, found)
	}},
}
