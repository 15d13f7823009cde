package main

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// inMemory measures what needs no database.
func inMemory(t *tb, n sizes, r report) {
	verification(t, n, r)
	codec(t, n, r)
	recovery(t, n, r)
	guard(t, n, r)
	image(t, n, r)
}

// verification compares a whole verification with the three steps that a bare
// library computes for a wrong code. A verification begins with a sealed
// challenge and ends with a written record and a sealed session.
func verification(t *tb, n sizes, r report) {
	h := newHost(t, memstore.New())
	u := h.enroll(t.Context(), "ada")
	opts := totp.ValidateOpts{Period: 30, Skew: 1, Digits: otp.DigitsSix}
	bare := func() { _, _ = totp.ValidateCustom("000000", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", start, opts) }
	r.ratio("verification / three bare steps", n.runs, verifications(u, n.ops, twofa.TOTP, "", nil), repeat(n.ops, bare))
}

// verifications returns a measurement of n logins. It begins a few at a time
// outside the measured time. With more of them, the garbage collector would
// have more to scan than on a server.
func verifications(u *user, n int, m twofa.Method, code string, check func(error) bool) func() time.Duration {
	const few = 200
	if check == nil {
		check = func(err error) bool { return err == nil }
	}
	return func() (took time.Duration) {
		for range n / few {
			list := u.attempts(u.t.Context(), few, []*user{u}, m, code)
			runtime.GC()
			start := time.Now()
			for _, a := range list {
				if err := u.verify(u.t.Context(), a); !check(err) {
					u.t.Fatalf("verification: %v", err)
				}
			}
			took += time.Since(start)
		}
		return took
	}
}

// codec compares the encoding of a typical record with encoding/json. The types
// are not exported, so it runs the benchmark in the package of the library.
func codec(t *tb, n sizes, r report) {
	const name = "record, encoded and decoded / encoding/json"
	if !r.selected(name) {
		return
	}
	file, err := os.CreateTemp("", "twofa-bench-")
	t.must(err)
	t.Cleanup(func() { _ = os.Remove(file.Name()) })
	t.must(file.Close())
	build := exec.Command("go", "test", "-c", "-o", file.Name(), "github.com/twofa-go/twofa")
	build.Stderr = os.Stderr
	t.must(build.Run())
	var ratios []float64
	for range n.runs {
		out, err := exec.Command(file.Name(), "-test.run=^$", "-test.bench=^BenchmarkRecord$/^(walk|JSON)$", "-test.benchtime="+strconv.Itoa(4*n.ops)+"x").Output()
		t.must(err)
		ratios = append(ratios, nsPerOp(t, out, "walk")/nsPerOp(t, out, "JSON"))
	}
	r.print(name, ratios)
}

func nsPerOp(t *tb, out []byte, name string) float64 {
	found := regexp.MustCompile("(?m)/" + name + `\S*\s+\d+\s+(\S+) ns/op`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("BenchmarkRecord/%s is missing in the output: %s", name, out)
	}
	ns, err := strconv.ParseFloat(string(found[1]), 64)
	t.must(err)
	return ns
}

// recovery shows that a check costs the same with 1 code and with 20. The code
// is wrong, so all hashes are compared.
func recovery(t *tb, n sizes, r report) {
	check := func(codes int) func() time.Duration {
		h := newHost(t, memstore.New(), func(c *twofa.Config) { c.Recovery.Codes = codes })
		u := h.enroll(t.Context(), "ada")
		return verifications(u, n.ops, twofa.RecoveryCode, "0000-0000-0000-0000-0000-0000", func(err error) bool { return err != nil })
	}
	r.ratio("recovery code, 20 of them / 1", n.runs, check(20), check(1))
}

// guard compares the check of each request with the bare read of the record.
func guard(t *tb, n sizes, r report) {
	store := memstore.New()
	u := newHost(t, store).enroll(t.Context(), "ada")
	check := func() { t.must(u.Check(t.Context(), u.caller())) }
	read := func() {
		_, err := store.Get(t.Context(), "user/ada", "account/acme")
		t.must(err)
	}
	r.ratio("guard / read from memory", n.runs, repeat(n.ops, check), repeat(n.ops, read))
}

// image compares the pictures of a QR code with the encoder alone.
func image(t *tb, n sizes, r report) {
	e := newHost(t, memstore.New()).user("ada").pending(t.Context())
	encode := func() {
		_, err := qr.Encode(e.URI.Reveal(), qr.M, qr.Unicode)
		t.must(err)
	}
	png := func() {
		_, err := e.PNG(0)
		t.must(err)
	}
	svg := func() {
		_, err := e.SVG()
		t.must(err)
	}
	few := max(1, n.ops/100)
	r.ratio("QR code as PNG / encoder", n.runs, repeat(few, png), repeat(few, encode))
	r.ratio("QR code as SVG / encoder", n.runs, repeat(few, svg), repeat(few, encode))
}
