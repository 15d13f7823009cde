package storetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// joining is a store that joins a transaction in the context: a list of functions
// that undo its changes, or a snapshot for reads.
type joining struct {
	*memstore.Store
	writes, reads bool
}

type hostTx struct {
	undo     []func()
	snapshot map[string][]twofa.Record
}

type hostTxKey struct{}

func beginHostTx(ctx context.Context) (context.Context, func()) {
	tx := &hostTx{snapshot: map[string][]twofa.Record{}}
	return context.WithValue(ctx, hostTxKey{}, tx), func() {
		for _, undo := range tx.undo {
			undo()
		}
	}
}

func (s joining) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	tx, _ := ctx.Value(hostTxKey{}).(*hostTx)
	if tx == nil || !s.reads {
		return s.Store.Get(ctx, keys...)
	}
	if _, ok := tx.snapshot[keys[0]]; !ok {
		tx.snapshot[keys[0]], _ = s.Store.Get(ctx, keys...)
	}
	return tx.snapshot[keys[0]], nil
}

func (s joining) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	before, _ := s.Store.Get(ctx, next.Key)
	err := s.Store.Swap(ctx, prev, next, events...)
	if tx, _ := ctx.Value(hostTxKey{}).(*hostTx); err == nil && tx != nil && s.writes {
		tx.undo = append(tx.undo, func() {
			r := twofa.Record{Key: next.Key}
			if len(before) == 1 {
				r = before[0]
			}
			_ = s.Store.Swap(context.Background(), next.Version, r)
		})
	}
	return err
}

func TestStoreThatIgnoresTransactionsPasses(t *testing.T) {
	RunInTransaction(t, func(*testing.T) twofa.Store { return joining{Store: memstore.New()} }, beginHostTx)
}

func TestJoinedTransactionsAreRejected(t *testing.T) {
	for i, store := range []joining{{writes: true, Store: memstore.New()}, {reads: true, Store: memstore.New()}} {
		rec := &recorder{ctx: t.Context()}
		rule := transactionRules[i]
		rec.catch(func() { rule.check(storeRule{text: rule.text}.probe(rec, store, store, spaces[0]), beginHostTx) })
		require.Contains(t, rec.message, "The rule: "+rule.text)
	}
}
