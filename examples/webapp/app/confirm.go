package app

import "net/http"

// confirmation is the data of the page "confirm". It asks before an act that
// cannot be taken back, or that another user notices. A GET shows it and
// changes nothing, and its form is the POST to the same path.
type confirmation struct {
	Text   string // what stops working, and what stays
	Action string // path of the form
	Button string
	Back   string
	Role   Role // new role, if the act changes one
}

func (a *App) confirm(w http.ResponseWriter, r *http.Request, question string, c confirmation) error {
	c.Action = r.URL.Path
	return a.render(w, r, http.StatusOK, "confirm", question, c)
}

func (a *App) confirmDelete(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	c, err := a.db.contact(r.Context(), v.Account.ID, r.PathValue("id"))
	if err != nil {
		return hideMissing(err)
	}
	return a.confirm(w, r, "Delete "+c.Name+"?", confirmation{
		Text:   "The contact is deleted for everyone in " + v.Account.Name + ". You can’t undo this.",
		Button: "Delete contact", Back: "/contacts",
	})
}

func (a *App) confirmRole(w http.ResponseWriter, r *http.Request) error {
	role := Role(r.URL.Query().Get("role"))
	m, err := a.managed(r)
	if err != nil {
		return err
	}
	if err := mayGive(visitorOf(r), m, role); err != nil {
		return err
	}
	text := map[Role]string{
		Member: m.Name + " can no longer invite, change or remove members, or delete contacts.",
		Admin:  "Admins can invite, change and remove members, and delete contacts.",
		Owner:  "Owners can do everything, and no other member can change or remove them. You can’t undo this.",
	}[role]
	return a.confirm(w, r, "Make "+m.Name+" "+string(role)+"?", confirmation{
		Text: text, Button: "Make " + string(role), Back: "/members/" + m.ID + "/manage", Role: role,
	})
}

func (a *App) confirmDeactivate(w http.ResponseWriter, r *http.Request) error {
	m, err := a.managedAlone(r)
	if err != nil {
		return err
	}
	return a.confirm(w, r, "Deactivate "+m.Name+"?", confirmation{
		Text:   m.Name + " is signed out everywhere and can’t sign in until an admin reactivates them. Nothing is deleted.",
		Button: "Deactivate", Back: "/members/" + m.ID + "/manage",
	})
}

func (a *App) confirmLeave(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	if err := a.db.mayLeave(r.Context(), v); err != nil {
		return err
	}
	return a.confirm(w, r, "Leave "+v.Account.Name+"?", confirmation{
		Text:   "You can no longer open " + v.Account.Name + ". If you change your mind, ask an admin for an invitation.",
		Button: "Leave " + v.Account.Name, Back: "/members",
	})
}

func (a *App) confirmRemove(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	m, err := a.managed(r)
	if err != nil {
		return err
	}
	return a.confirm(w, r, "Remove "+m.Name+" from "+v.Account.Name+"?", confirmation{
		Text:   m.Name + " is signed out and can no longer open " + v.Account.Name + ". Contacts stay, and you can invite " + m.Name + " again. Unless they belong to another account, their two-factor authentication is reset.",
		Button: "Remove member", Back: "/members/" + m.ID + "/manage",
	})
}
