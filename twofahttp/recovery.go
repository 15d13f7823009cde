package twofahttp

import (
	"net/http"
	"time"

	"github.com/twofa-go/twofa"
)

// recoveredData is what the page "recovered" gets.
type recoveredData struct {
	Factors twofa.Factors
	Next    string
}

// getRecovered follows a login with a recovery code: it says how many are left,
// and offers a new factor in place of the lost one.
func (x *exchange) getRecovered() error {
	factors, err := x.m.Factors(x.ctx(), x.caller())
	if err != nil {
		return err
	}
	return x.render(http.StatusOK, "recovered", nil, recoveredData{factors, SafeRedirect(x.r.URL.Query().Get("next"), x.cfg.HomeURL)})
}

// postCodes shows the codes that are left, where the deployment keeps them
// viewable. It is a POST because it is an event, and the person is told.
func (x *exchange) postCodes() error {
	x.retryURL = x.path("")
	codes, err := x.m.RecoveryCodes(x.ctx(), x.caller())
	if err != nil {
		return err
	}
	if x.form.Get("format") == "text" {
		return x.codesFile(revealAll(codes))
	}
	return x.render(http.StatusOK, "codes", nil, codesData{x.cfg.Issuer, revealAll(codes), x.cfg.Now()})
}

// postNewCodes starts a new set. The old one is good until the new one is saved.
func (x *exchange) postNewCodes() error {
	x.retryURL = x.path("")
	if _, err := x.m.RegenerateCodes(x.ctx(), x.caller()); err != nil {
		return err
	}
	x.clearFlow(enrollmentCookie)
	return x.redirect(x.path("setup"))
}

// codesData is what the page "codes" and the file get.
type codesData struct {
	Issuer string
	Codes  []string
	Saved  time.Time // today
}

func (x *exchange) codesFile(codes []string) error {
	h := x.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="recovery-codes.txt"`)
	x.w.WriteHeader(http.StatusOK)
	return x.codesText.Execute(x.w, codesData{x.cfg.Issuer, codes, x.cfg.Now()})
}

func revealAll(codes []twofa.Secret) []string {
	texts := make([]string, len(codes))
	for i, code := range codes {
		texts[i] = code.Reveal()
	}
	return texts
}
