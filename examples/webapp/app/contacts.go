package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/csv"
	"net/http"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

type contact struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Company string `json:"company"`
	Email   string `json:"email"`
	Phone   string `json:"phone"`
}

// contacts calls yield for each contact of one account. Every query in this
// file uses the account of the visitor, never one from the request.
func (s store) contacts(ctx context.Context, accountID, search string, limit int, yield func(contact) error) error {
	rows, err := s.QueryContext(ctx, `SELECT id, name, company, email, phone FROM contacts
		WHERE account_id = $1 AND (lower(name) LIKE $2 ESCAPE '\' OR lower(company) LIKE $2 ESCAPE '\' OR lower(email) LIKE $2 ESCAPE '\')
		ORDER BY name, id LIMIT $3`, accountID, containing(search), limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c contact
		if err := rows.Scan(&c.ID, &c.Name, &c.Company, &c.Email, &c.Phone); err != nil {
			return err
		}
		if err := yield(c); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s store) contactList(ctx context.Context, accountID, search string) ([]contact, error) {
	all := []contact{}
	err := s.contacts(ctx, accountID, search, 500, func(c contact) error {
		all = append(all, c)
		return nil
	})
	return all, err
}

func (s store) contact(ctx context.Context, accountID, id string) (c contact, err error) {
	err = s.QueryRowContext(ctx, `SELECT id, name, company, email, phone FROM contacts WHERE id = $1 AND account_id = $2`, id, accountID).
		Scan(&c.ID, &c.Name, &c.Company, &c.Email, &c.Phone)
	return c, err
}

func (s store) addContact(ctx context.Context, accountID string, c contact) error {
	_, err := s.ExecContext(ctx, `INSERT INTO contacts (id, account_id, name, company, email, phone) VALUES ($1, $2, $3, $4, $5, $6)`,
		cmp.Or(c.ID, rand.Text()), accountID, c.Name, c.Company, c.Email, c.Phone)
	return err
}

func (a *App) contactsPage(w http.ResponseWriter, r *http.Request) error {
	v, search := visitorOf(r), r.URL.Query().Get("q")
	list, err := a.db.contactList(r.Context(), v.Account.ID, search)
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "contacts", "Contacts", map[string]any{
		"List": list, "Search": search, "Proven": r.URL.Query().Get("export") == "ready", // selects a sentence, grants nothing
	})
}

func (a *App) addContact(w http.ResponseWriter, r *http.Request) error {
	field := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	c := contact{Name: field("name"), Company: field("company"), Email: field("email"), Phone: field("phone")}
	if err := checkName(c.Name); err != nil {
		return err
	}
	if len(c.Company)+len(c.Email)+len(c.Phone) > 600 {
		return &httpError{http.StatusBadRequest, "That is too long for one contact."}
	}
	if err := a.db.addContact(r.Context(), visitorOf(r).Account.ID, c); err != nil {
		return err
	}
	a.flash(r, c.Name+" added.")
	http.Redirect(w, r, "/contacts", http.StatusSeeOther)
	return nil
}

func (a *App) deleteContact(w http.ResponseWriter, r *http.Request) error {
	err := oneRow(a.db.ExecContext(r.Context(), `DELETE FROM contacts WHERE id = $1 AND account_id = $2`,
		r.PathValue("id"), visitorOf(r).Account.ID))
	if err != nil {
		return hideMissing(err)
	}
	a.flash(r, "Contact deleted.")
	http.Redirect(w, r, "/contacts", http.StatusSeeOther)
	return nil
}

// exportContacts streams all contacts as CSV, to browsers and API clients. It
// needs a POST, so that a link on another site cannot start it.
func (a *App) exportContacts(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="contacts.csv"`)
	out := csv.NewWriter(w)
	begun := out.Write([]string{"name", "company", "email", "phone"})
	if begun != nil {
		return begun
	}
	n, deadline := 0, http.NewResponseController(w)
	err := a.db.contacts(r.Context(), visitorOf(r).Account.ID, "", 1<<30, func(c contact) error {
		if n++; n%500 == 0 { // extend the write timeout, because an export may be long
			_ = deadline.SetWriteDeadline(time.Now().Add(30 * time.Second))
		}
		return out.Write([]string{cell(c.Name), cell(c.Company), cell(c.Email), cell(c.Phone)})
	})
	if err != nil && n == 0 { // nothing was sent yet, but the fresh proof is used up
		a.recordExport(r, n, err)
		w.Header().Del("Content-Disposition")
		return halfDone(err)
	}
	out.Flush()
	err = cmp.Or(err, out.Error())
	a.recordExport(r, n, err)
	if err != nil {
		a.log.ErrorContext(r.Context(), "export aborted", "error", err)
		panic(http.ErrAbortHandler) // so that half a file does not look complete
	}
	return nil
}

// recordExport stores how many contacts were exported, for the admins of the account.
// It works even if the client has hung up. An export of which this cannot be stored has
// left an event that it was allowed, so the error is only logged.
func (a *App) recordExport(r *http.Request, contacts int, failed error) {
	err := a.twofa.RecordAction(r.Context(), a.web.Caller(r), twofa.RecordedAction{Action: actionExport, Count: contacts, Failed: failed != nil})
	if err != nil {
		a.log.ErrorContext(r.Context(), "export not recorded", "contacts", contacts, "error", err)
	}
}

// cell keeps spreadsheets from running a contact's field as a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (a *App) apiContacts(w http.ResponseWriter, r *http.Request) error {
	list, err := a.db.contactList(r.Context(), visitorOf(r).Account.ID, r.URL.Query().Get("q"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (a *App) apiMe(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	writeJSON(w, http.StatusOK, map[string]any{
		"id": v.User.ID, "email": v.User.Email, "name": v.User.Name, "account": v.Account.ID, "role": v.Role,
	})
	return nil
}
