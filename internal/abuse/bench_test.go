package abuse

import (
	"strconv"
	"testing"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/harness"
)

// baseline reports the time of a benchmark as a multiple of another one in the
// same run, because machines differ and so does their load.
type baseline struct {
	name string
	ns   float64
}

func (x *baseline) base(b *testing.B)   { x.ns = nsPerOp(b) }
func (x *baseline) report(b *testing.B) { b.ReportMetric(nsPerOp(b)/x.ns, "x-"+x.name) }

func nsPerOp(b *testing.B) float64 { return float64(b.Elapsed()) / float64(b.N) }

// BenchmarkVerify compares a whole verification with the three steps that a
// bare library computes for a wrong code. A verification begins with a sealed
// challenge and ends with a written record and a sealed session.
func BenchmarkVerify(b *testing.B) {
	bare := baseline{name: "bare"}
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		opts := totp.ValidateOpts{Period: 30, Skew: 1, Digits: otp.DigitsSix}
		for b.Loop() {
			_, _ = totp.ValidateCustom("000000", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", harness.Start, opts)
		}
		bare.base(b)
	})
	b.Run("manager", func(b *testing.B) {
		w := newWorld(b, func(c *twofa.Config) { c.OnEvent = nil })
		ada := w.enrolled("ada")
		timeEach(b, ada, twofa.TOTP, func() string { return ada.code() }, false)
		bare.report(b)
	})
}

// timeEach verifies in logins an hour apart, so that the record is a typical
// one. It begins a few logins at a time before it starts the timer. With more
// of them, the garbage collector would have more to scan than on a server.
func timeEach(b *testing.B, p *person, m twofa.Method, code func() string, fails bool) {
	const few = 200
	challenges, proofs := make([]twofa.Challenge, few), make([]twofa.Proof, few)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%few == 0 {
			b.StopTimer()
			for j := range few {
				p.clock.Add(time.Hour - 30*time.Second)
				proofs[j] = twofa.Proof{Method: m, Code: twofa.NewSecret(code())}
				p.begin()
				challenges[j] = p.login.Challenge
			}
			p.clock.Add(-few * time.Hour)
			b.StartTimer()
		}
		p.clock.Add(time.Hour)
		if _, err := p.Verify(b.Context(), p.caller(), challenges[i%few], proofs[i%few]); (err != nil) != fails {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecovery shows that a check costs the same with 1 code and with 20.
// The code is wrong, so all hashes are compared.
func BenchmarkRecovery(b *testing.B) {
	one := baseline{name: "one-code"}
	for _, n := range []int{1, 20} {
		b.Run(strconv.Itoa(n)+" codes", func(b *testing.B) {
			w := newWorld(b, func(c *twofa.Config) { c.Recovery.Codes = n; c.OnEvent = nil })
			ada := w.enrolled("ada")
			timeEach(b, ada, twofa.RecoveryCode, func() string { ada.code(); return "0000-0000-0000-0000-0000-0000" }, true)
			if n == 1 {
				one.base(b)
			}
			one.report(b)
		})
	}
}

// BenchmarkCheck measures the guard.
func BenchmarkCheck(b *testing.B) {
	w := newWorld(b)
	ada := w.enrolled("ada")
	c := ada.caller()
	b.ReportAllocs()
	for b.Loop() {
		if err := ada.Check(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQR(b *testing.B) {
	w := newWorld(b)
	ada := w.person("ada")
	ada.begin()
	e, err := ada.Enroll(b.Context(), ada.caller(), twofa.EnrollRequest{})
	require.NoError(b, err)
	encoder := baseline{name: "encoder"}
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := qr.Encode(e.URI.Reveal(), qr.M, qr.Unicode); err != nil {
				b.Fatal(err)
			}
		}
		encoder.base(b)
	})
	b.Run("PNG", func(b *testing.B) {
		for b.Loop() {
			if _, err := e.PNG(0); err != nil {
				b.Fatal(err)
			}
		}
		encoder.report(b)
	})
	b.Run("SVG", func(b *testing.B) {
		for b.Loop() {
			if _, err := e.SVG(); err != nil {
				b.Fatal(err)
			}
		}
		encoder.report(b)
	})
}
