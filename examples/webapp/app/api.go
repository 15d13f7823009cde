package app

import (
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/twofa-go/twofa"
)

// This file is the sign-in path of programs, such as a mobile app. A program
// keeps the values itself that a browser keeps in cookies: the challenge from a
// response to the next request, and at the end a bearer token. A challenge is
// not a bearer token and gives access to nothing.

// apiLogin checks the first factor.
func (a *App) apiLogin(w http.ResponseWriter, r *http.Request) error {
	in, err := readStrings(r, "email", "password", "account")
	if err != nil {
		return err
	}
	u, err := a.checkPassword(r, in["email"], in["password"])
	if err != nil {
		return err
	}
	if in["account"] == "" {
		return a.enterFirstAccount(w, r, u, twofa.ByPassword)
	}
	if _, err := a.db.member(r.Context(), in["account"], u.ID); err != nil {
		return hideMissing(err)
	}
	return a.firstFactorDone(w, r, u, in["account"], twofa.ByPassword)
}

func (a *App) apiFirstFactor(w http.ResponseWriter, r *http.Request, first twofa.FirstFactor) error {
	first.Client = a.web.Client(w, r)
	login, err := a.twofa.Begin(r.Context(), first)
	return a.apiAnswer(w, r, login, err)
}

// apiSend sends a text message or an email link. An app that opens such links
// itself sends the token from the link as the code.
func (a *App) apiSend(w http.ResponseWriter, r *http.Request) error {
	in, err := readStrings(r, "challenge", "method")
	if err != nil {
		return err
	}
	if _, ok := a.limit.attempt(clientIP(r), "api send "+network(clientIP(r))); !ok {
		return errTooMany
	}
	login, err := a.twofa.Send(r.Context(), a.web.Client(w, r), twofa.ParseChallenge(in["challenge"]), twofa.Method(in["method"]))
	return a.apiAnswer(w, r, login, err)
}

// apiVerify checks the second factor of a login.
func (a *App) apiVerify(w http.ResponseWriter, r *http.Request) error {
	login, err := a.apiProve(r)
	if err == nil && login.Action != "" {
		err = twofa.ErrExpired // a step-up belongs to the bearer token that started it
	}
	return a.apiAnswer(w, r, login, err)
}

// apiProve checks a proof against a challenge.
func (a *App) apiProve(r *http.Request) (twofa.Result, error) {
	in, err := readStrings(r, "challenge", "method", "code")
	if err != nil {
		return twofa.Result{}, err
	}
	done, ok := a.limit.attempt(clientIP(r), "api code "+network(clientIP(r)))
	if !ok {
		return twofa.Result{}, errTooMany
	}
	login, err := a.twofa.Verify(r.Context(), a.web.Caller(r), twofa.ParseChallenge(in["challenge"]),
		twofa.Proof{Method: twofa.Method(in["method"]), Code: twofa.NewSecret(in["code"])})
	if err == nil {
		done()
	}
	return login, err
}

// apiStepUp returns the challenge for an action that needs a fresh proof. After
// apiStepUpVerify the program can perform the action.
func (a *App) apiStepUp(w http.ResponseWriter, r *http.Request) error {
	in, err := readStrings(r, "action")
	if err != nil {
		return err
	}
	login, err := a.twofa.StepUp(r.Context(), a.web.Caller(r), in["action"], "")
	return a.apiAnswer(w, r, login, err)
}

// apiStepUpVerify checks that proof and stores the new session with the
// sign-in. The program keeps its bearer token.
func (a *App) apiStepUpVerify(w http.ResponseWriter, r *http.Request) error {
	login, err := a.apiProve(r)
	if err == nil && !a.sameSession(login.Session, visitorOf(r).Proven) {
		err = twofa.ErrExpired // the challenge belongs to another session, which must not move into this one
	}
	if err == nil {
		_, err = a.db.ExecContext(r.Context(), `UPDATE signins SET twofa = $1 WHERE id = $2`, login.Session.Reveal(), visitorOf(r).Signin)
		err = unavailable(err)
	}
	login.Session = twofa.Session{}
	return a.apiAnswer(w, r, login, err)
}

func (a *App) sameSession(x, y twofa.Session) bool {
	dx, errX := a.twofa.DescribeSession(x)
	dy, errY := a.twofa.DescribeSession(y)
	return errX == nil && errY == nil && dx.ID == dy.ID
}

// apiAnswer writes the result of a login or step-up. Only a session becomes a
// bearer token. Enrollment needs a browser, so the API refuses it.
func (a *App) apiAnswer(w http.ResponseWriter, r *http.Request, login twofa.Result, err error) error {
	if err == nil && login.Next == twofa.NextEnroll {
		err = &twofa.DeniedError{Reason: twofa.ReasonEnroll}
	}
	if _, own := errors.AsType[*httpError](err); own {
		return err
	}
	if err != nil {
		a.web.Error(w, r, err)
		return nil
	}
	out := map[string]any{"next": login.Next}
	switch {
	case login.Next == twofa.NextChallenge:
		out["challenge"], out["methods"], out["sent_to"] = login.Challenge.Reveal(), login.Methods, login.Sent
	case !login.Session.IsZero():
		token := rand.Text()
		if _, err := a.newSignin(r, login.Session, sql.NullString{String: hashToken(token), Valid: true}); err != nil {
			return err
		}
		out["token"], out["expires_in"] = token, int(signinLifetime.Seconds())
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (a *App) apiLogout(w http.ResponseWriter, r *http.Request) error {
	_, err := a.db.ExecContext(r.Context(), `DELETE FROM signins WHERE id = $1`, visitorOf(r).Signin)
	if err != nil {
		return err
	}
	if err := a.twofa.SignedOut(r.Context(), a.web.Caller(r)); err != nil {
		return halfDone(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

var (
	errNotJSON = &httpError{http.StatusUnsupportedMediaType, "Send application/json."}
	errBadJSON = &httpError{http.StatusBadRequest, "Send one JSON object with the fields of this call, each once and each a string."}
)

// readStrings reads a JSON object of strings strictly. encoding/json would
// accept null as "", use the last of two equal fields, and ignore data after
// the object.
func readStrings(r *http.Request, fields ...string) (map[string]string, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, errNotJSON
	}
	dec, in := json.NewDecoder(r.Body), make(map[string]string)
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, errBadJSON
	}
	for dec.More() {
		key, _ := dec.Token()
		value, err := dec.Token()
		name, isName := key.(string)
		text, isText := value.(string)
		_, twice := in[name]
		if err != nil || !isName || !isText || twice || !slices.Contains(fields, name) {
			return nil, errBadJSON
		}
		in[name] = text
	}
	if _, err := dec.Token(); err != nil {
		return nil, errBadJSON
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errBadJSON
	}
	return in, nil
}
