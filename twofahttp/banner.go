package twofahttp

import (
	"errors"
	"net/http"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
)

// Banner is a message for a signed-in user about their own second factor, which a
// page of the host shows. Its texts are in the language of the request, without
// HTML, and end with what the user can do: a link with the text Button.
type Banner struct {
	// Kind is "case" if support was asked to reset the user, "lost" if the device
	// was reported as lost, and "due" if the user must enroll a factor by a date.
	Kind        string
	Title, Text string
	Button      string
	URL         string // local path to which the button leads
}

// Banners returns the messages that a page of the host should show to the user who
// sends r, the most urgent first. Call it for pages that users see often, such as
// in the data of your layout, because a user may notice in no other way that an
// attacker has talked to support. Answers are given on pages of this package, so
// the host needs no form.
//
// It reads the store once. The result is empty if there is nothing to say, if
// nobody is signed in, and if the store cannot be read, which is logged: a page of
// the host must not fail because of it.
func (s *Server) Banners(r *http.Request) (list []Banner) {
	x := s.newExchange(nil, r)
	if x.session().IsZero() {
		return nil
	}
	standing, err := x.m.Standing(x.ctx(), x.caller())
	if err != nil {
		if !errors.As(err, new(*twofa.DeniedError)) {
			x.log(err)
		}
		return nil
	}
	c := x.locale()
	if standing.Case != nil {
		list = append(list, Banner{"case", c.Text("page.banner.case.title", nil), c.Text("page.banner.case.text", nil), c.Text("page.banner.case.button", nil), x.askedPage(x.currentURL())})
	}
	setup := x.path("setup") + "?start=1"
	if at := standing.Lost.UTC(); !standing.Lost.IsZero() {
		list = append(list, Banner{"lost", c.Text("page.banner.lost.title", locale.Args{"date": c.Date(at)}), c.Text("page.banner.lost.text", nil), c.Text("page.banner.lost.button", nil), setup})
	}
	if at := standing.Due.UTC(); !standing.Due.IsZero() {
		list = append(list, Banner{"due", c.Text("page.due.title", locale.Args{"date": c.Date(at)}), c.Text("page.due.after", locale.Args{"date": c.DateTime(at), "issuer": x.cfg.Issuer}), c.Text("page.due.now", nil), setup})
	}
	return list
}
