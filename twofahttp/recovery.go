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

// recovered follows a login with a recovery code: it says how many are left,
// and offers a new factor in place of the lost one.
func (v *visit) recovered() error {
	factors, err := v.m.Factors(v.ctx(), v.caller())
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "recovered", nil, recoveredData{factors, SafeRedirect(v.r.URL.Query().Get("next"), v.web.cfg.HomeURL)})
}

// viewCodes shows the codes that are left, where the deployment keeps them
// viewable. It is a POST because it is an event, and the person is told.
func (v *visit) viewCodes() error {
	v.back = v.path("")
	codes, err := v.m.RecoveryCodes(v.ctx(), v.caller())
	if err != nil {
		return err
	}
	if v.form.Get("format") == "text" {
		return v.codesFile(reveal(codes))
	}
	return v.render(http.StatusOK, "codes", nil, codesData{v.web.cfg.Issuer, reveal(codes), v.web.cfg.Now()})
}

// newCodes starts a new set. The old one is good until the new one is saved.
func (v *visit) newCodes() error {
	v.back = v.path("")
	if _, err := v.m.RegenerateCodes(v.ctx(), v.caller()); err != nil {
		return err
	}
	v.clearFlow(setupCookie)
	return v.redirect(v.path("setup"))
}

// codesData is what the page "codes" and the file get.
type codesData struct {
	Issuer string
	Codes  []string
	Saved  time.Time // today
}

func (v *visit) codesFile(codes []string) error {
	h := v.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="recovery-codes.txt"`)
	v.w.WriteHeader(http.StatusOK)
	return v.web.codesText.Execute(v.w, codesData{v.web.cfg.Issuer, codes, v.web.cfg.Now()})
}

func reveal(codes []twofa.Secret) []string {
	texts := make([]string, len(codes))
	for i, code := range codes {
		texts[i] = code.Reveal()
	}
	return texts
}
