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

// beside reports what a benchmark costs as a multiple of another of the same
// run: machines differ, and so do hours.
type beside struct {
	name string
	ns   float64
}

func (x *beside) base(b *testing.B)   { x.ns = nsPerOp(b) }
func (x *beside) report(b *testing.B) { b.ReportMetric(nsPerOp(b)/x.ns, "x-"+x.name) }

func nsPerOp(b *testing.B) float64 { return float64(b.Elapsed()) / float64(b.N) }

// BenchmarkVerify compares a whole verification, from a sealed challenge to a
// written record and a sealed session, with the three steps a bare library
// computes for a wrong code.
func BenchmarkVerify(b *testing.B) {
	bare := beside{name: "bare"}
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
// one. The logins are begun before the time is taken, a few at once: more would
// leave the collector more to look at than a server has.
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
				proofs[j] = twofa.Proof{Method: m, Code: code()}
				p.begin()
				challenges[j] = p.login.Challenge
			}
			p.clock.Add(-few * time.Hour)
			b.StartTimer()
		}
		p.clock.Add(time.Hour)
		if _, err := p.Verify(b.Context(), p.client, challenges[i%few], proofs[i%few]); (err != nil) != fails {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecovery shows that a check, here of a wrong code, costs the same
// with 1 code and with 20.
func BenchmarkRecovery(b *testing.B) {
	one := beside{name: "one-code"}
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

// BenchmarkCheck is the guard.
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
	encoder := beside{name: "encoder"}
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
