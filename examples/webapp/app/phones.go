package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// An admin enters the phone numbers of members who have none. Each member sees the
// end of the number at the next sign-in, and confirms it or enters another one.

const (
	phonesPath = "/members/phones"
	maxPhones  = 10_000  // lines of a list
	maxUpload  = 1 << 20 // bytes of a list
)

// regions are the countries of numbers that are typed without a country code.
var regions = []twofahttp.Region{
	{Code: "CH", Name: "Switzerland (+41)"}, {Code: "AT", Name: "Austria (+43)"}, {Code: "DE", Name: "Germany (+49)"},
	{Code: "FR", Name: "France (+33)"}, {Code: "GB", Name: "United Kingdom (+44)"}, {Code: "US", Name: "United States (+1)"},
}

// phonesData is the data of the page "phones".
type phonesData struct {
	List, Region, Reason string // as the visitor typed them; after a list was sent, List has the lines that need a change
	Regions              []twofahttp.Region
	NoTexts              bool // the policy of the account accepts no text messages yet
	Problem              string
	Done                 []phoneLine
	Entered, Wrong       int
}

// phoneLine is what became of one line of a list.
type phoneLine struct {
	Member, Phone string
	Said, Next    string // what happened, and what to do
	Wrong         bool   // whether the line must be changed or sent again
}

// phonesPage shows the form. The visitor must have given a fresh proof before, so
// that a list that was pasted is not lost on the way to one.
func (a *App) phonesPage(w http.ResponseWriter, r *http.Request) error {
	if err := a.twofa.PeekAction(r.Context(), a.web.Caller(r), twofa.ActionPolicy, ""); err != nil {
		a.web.Error(w, r, err)
		return nil
	}
	return a.showPhones(w, r, http.StatusOK, phonesData{})
}

func (a *App) showPhones(w http.ResponseWriter, r *http.Request, status int, d phonesData) error {
	info, err := a.accountOf(r, "").Policy(r.Context())
	if err != nil {
		return err
	}
	d.Regions, d.NoTexts = regions, !slices.Contains(info.Policy.Methods, twofa.SMS)
	return a.render(w, r, status, "phones", "Phone numbers of "+visitorOf(r).Account.Name, d)
}

// accountOf returns the visitor's account, as the visitor acts on it.
func (a *App) accountOf(r *http.Request, reason string) *twofa.Account {
	return a.twofa.Account(twofa.AsUser(a.web.Caller(r), reason), visitorOf(r).Account.ID)
}

// assignPhones hands the list over. The answer is a page and no redirect, because
// it has a line for each number. Sending the form again changes nothing.
func (a *App) assignPhones(w http.ResponseWriter, r *http.Request) error {
	d := phonesData{List: r.PostFormValue("list"), Region: r.PostFormValue("region"), Reason: strings.TrimSpace(r.PostFormValue("reason"))}
	if file, _, err := r.FormFile("file"); err == nil {
		text, err := io.ReadAll(file)
		if err != nil {
			return err
		}
		if len(text) > 0 {
			d.List = string(text)
		}
	}
	members, err := a.db.membersOf(r.Context(), visitorOf(r).Account.ID)
	if err != nil {
		return err
	}
	lines := parsePhones(d.List)
	switch {
	case len(lines) == 0:
		d.Problem = "The list is empty. Paste at least one line, or choose a file."
	case len(lines) > maxPhones:
		d.Problem = "The list has more than 10,000 lines. Send it in parts."
	case d.Reason == "":
		d.Problem = "Say where the list comes from. It’s kept with each number."
	}
	if d.Problem != "" {
		return a.showPhones(w, r, http.StatusUnprocessableEntity, d)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(5 * time.Minute)) // each number is a write
	results, err := a.accountOf(r, d.Reason).AssignPhones(r.Context(), assignments(lines, members, d.Region))
	if results == nil && err != nil {
		a.web.Error(w, r, err)
		return nil
	}
	var again []string
	for i, result := range results {
		line := explain(result, lines[i])
		if d.Done = append(d.Done, line); line.Wrong {
			d.Wrong++
			again = append(again, lines[i].member+", "+lines[i].phone)
			a.logPhone(r.Context(), result.Err)
		} else if result.Outcome != twofa.PhoneEnrolled {
			d.Entered++
		}
	}
	d.List = strings.Join(again, "\n")
	return a.showPhones(w, r, http.StatusOK, d)
}

// logPhone logs a failure of ours. What the visitor can correct is on the page.
func (a *App) logPhone(ctx context.Context, err error) {
	if errors.Is(err, twofa.ErrUnavailable) {
		a.log.ErrorContext(ctx, "phone number not assigned", "error", err)
	}
}

type typedPhone struct{ member, phone string }

// parsePhones returns the lines of a list. Spreadsheets separate the cells by a
// comma, a semicolon or a tab. A heading has no address in its first cell.
func parsePhones(list string) (lines []typedPhone) {
	for i, line := range strings.Split(strings.TrimPrefix(list, "\ufeff"), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		cells := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(",;\t", r) })
		cells = append(cells, "", "")
		typed := typedPhone{strings.Trim(cells[0], " \"'"), strings.Trim(cells[1], " \"'")}
		if i == 0 && !strings.Contains(typed.member, "@") && !strings.ContainsAny(typed.phone, "0123456789") {
			continue
		}
		lines = append(lines, typed)
	}
	return lines
}

// assignments names each member by ID. An address that no member of the account has
// stays as it is, and nobody has it as an ID.
func assignments(lines []typedPhone, members []member, region string) []twofa.PhoneAssignment {
	ids := map[string]string{}
	for _, m := range members {
		ids[normalEmail(m.Email)] = m.ID
	}
	list := make([]twofa.PhoneAssignment, len(lines))
	for i, line := range lines {
		id, ok := ids[normalEmail(line.member)]
		if !ok {
			id = "unknown " + line.member
		}
		list[i] = twofa.PhoneAssignment{User: id, Phone: line.phone, Region: region}
	}
	return list
}

// explain says what became of a line, and what the visitor can do.
func explain(r twofa.PhoneResult, line typedPhone) phoneLine {
	said := func(what, next string, wrong bool) phoneLine {
		phone := line.phone
		if !wrong {
			phone = r.Phone
		}
		return phoneLine{line.member, phone, what, next, wrong}
	}
	switch r.Outcome {
	case twofa.PhoneAssigned:
		return said("Entered", "The member confirms it at the next sign-in.", false)
	case twofa.PhoneUnchanged:
		return said("Entered before", "The member confirms it at the next sign-in.", false)
	case twofa.PhoneEnrolled:
		return said("Already has a second factor", "Nothing to do. The number wasn’t used.", false)
	}
	switch r.Problem {
	case twofa.PhoneMalformed:
		return said("Not a phone number", "Check the number. If it’s from another country, start with + and the country code.", true)
	case twofa.PhoneNotMobile:
		return said("Not a mobile number", "Ask the member for a mobile number.", true)
	case twofa.PhoneCountry:
		return said("We don’t text to this country", "Ask the member for another number, or to set up an authenticator app.", true)
	}
	denied, _ := errors.AsType[*twofa.DeniedError](r.Err)
	switch {
	case denied != nil && denied.Reason == twofa.ReasonSupport:
		return said("Not possible for this member", "The member can enter a number at the next sign-in.", true)
	case denied != nil && denied.Reason == twofa.ReasonSelf:
		return said("Not for yourself", "Add your own phone in your settings.", true)
	case denied != nil:
		return said("Your role doesn’t allow this", "Ask a member with a higher role.", true)
	case errors.Is(r.Err, twofa.ErrNotEnrolled):
		return said("Not a member of this account", "Check the address, or invite them first.", true)
	case errors.Is(r.Err, twofa.ErrInvalid):
		return said("More than once in the list", "Keep one line for each member.", true)
	}
	return said("Not entered", "Something went wrong on our side. Send this line again.", true)
}
