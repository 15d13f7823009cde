package app

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// Manager gives tests what a support tool of the host's would have.
func (a *App) Manager() *twofa.Manager { return a.twofa }

// shipped is what a password costs in the product. With the race detector each
// hash takes a fifth of a second, and most tests sign in a few times: they have
// one that is cheap.
var shipped = [2]uint32{argonTime, argonMemory}

func init() { argonTime, argonMemory = 1, 64 }

func TestPasswordHash_AsShipped(t *testing.T) {
	cheap := [2]uint32{argonTime, argonMemory}
	argonTime, argonMemory = shipped[0], shipped[1]
	t.Cleanup(func() { argonTime, argonMemory = cheap[0], cheap[1] })
	p, err := newPasswords()
	require.NoError(t, err)
	hash, err := p.hash(context.Background(), DemoPassword)
	require.NoError(t, err)
	require.Regexp(t, `^\$argon2id\$v=19\$m=19456,t=2,p=1\$`, hash)
	require.Regexp(t, `^\$argon2id\$v=19\$m=19456,t=2,p=1\$`, p.dummy, "whom nobody knows costs as much")
	require.NoError(t, p.check(context.Background(), hash, DemoPassword))
	require.ErrorIs(t, p.check(context.Background(), hash, DemoPassword+"x"), errWrongPassword)
	require.ErrorIs(t, p.check(context.Background(), "", DemoPassword), errWrongPassword)
}
