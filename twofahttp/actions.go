package twofahttp

import (
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/twofa-go/twofa"
)

// actionNames finds names of actions that are written in two ways. A rule of a
// policy for "export" does not apply to an action that RequireAction calls
// "exports", which then has the default rule, and no error shows it.
type actionNames struct {
	mu       sync.Mutex
	known    map[string]bool // of Config.Actions, and passed to RequireAction
	reported map[string]bool
}

// builtInAction is an action for which the library itself requires a proof, so that
// it needs no entry in Config.Actions.
type builtInAction struct {
	title   string // ID of its title, unless Config.Actions has one
	ofAdmin bool   // only admins need it, and by authenticator, whatever a rule says
	fixed   bool   // no rule of a policy changes anything
}

var builtInActions = map[string]builtInAction{
	twofa.ActionFactors: {title: "action.factors"},
	twofa.ActionPolicy:  {title: "action.policy", ofAdmin: true},
	twofa.ActionReset:   {title: "action.reset", ofAdmin: true, fixed: true},
}

// askedFor returns the title of what the user asked for. For a change of the
// settings, that is the words of the button, because "Change security settings"
// names none, unless the host has a title of its own.
func (x *exchange) askedFor(f flow) string {
	if f.Action == twofa.ActionFactors && x.cfg.Actions[f.Action].Title == "" {
		if id := x.buttonOf(f); id != "" {
			return x.locale().Text(id, nil)
		}
	}
	return x.actionTitle(f.Action)
}

// buttonOf returns the ID of the words of the button that led to a step-up for the
// settings, or "". It is found by the form that waits, or by the page that follows.
func (x *exchange) buttonOf(f flow) string {
	address, form := f.next, url.Values{}
	if x.held != nil {
		address = x.held.URL
		form, _ = url.ParseQuery(x.held.Body.Reveal())
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	query := u.Query()
	switch page, _ := strings.CutPrefix(u.Path, x.path("")); {
	case page == "codes" && form.Get("format") == "text":
		return "page.settings.codes.download"
	case page == "codes":
		return "page.settings.codes.view"
	case page == changeNewCodes:
		return "page.settings.codes.new"
	case page == changeRename:
		return "page.settings.rename"
	case page == changeRemove:
		return "page.settings.remove"
	case page != "setup":
		return ""
	case form.Get("replaces")+query.Get("replaces") == "":
		return "page.settings.add"
	case form.Get("method") == string(twofa.SMS):
		return "page.settings.number"
	}
	return "page.settings.replace"
}

func isBuiltIn(action string) bool {
	_, ok := builtInActions[action]
	return ok
}

const maxReported = 64 // names of actions that are reported, because policies may have any number

// mountAction adds a name that was passed to RequireAction. It panics if no proof can
// be given for it, and logs an error if neither Config.Actions nor the policy of
// the Manager has it, although they have others.
func (s *Server) mountAction(action string) {
	if action == "" || len(action) > maxActionName {
		panic(fmt.Sprintf("twofahttp: RequireAction: the name of an action must have 1 to %d bytes, is %q", maxActionName, action))
	}
	a := &s.actions
	a.mu.Lock()
	defer a.mu.Unlock()
	listed := slices.Concat(slices.Collect(maps.Keys(s.cfg.Actions)), s.cfg.Manager.Info().Actions)
	a.known[action] = true
	if len(listed) > 0 && !isBuiltIn(action) && !slices.Contains(listed, action) {
		slices.Sort(listed)
		a.report(s.cfg.Logger, "twofahttp: RequireAction has an action that neither Config.Actions nor the policy lists; correct its spelling, or add it to Config.Actions", action, slices.Compact(listed))
	}
}

// maxActionName is the limit of Manager.StepUp.
const maxActionName = 128

// checkPolicy logs an error for each rule of a policy that is for no action of
// this server, once for each name.
func (s *Server) checkPolicy(p twofa.Policy) {
	a := &s.actions
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range p.Actions {
		if !isBuiltIn(name) && len(a.known) > 0 && !a.known[name] {
			a.report(s.cfg.Logger, "twofahttp: a policy has a rule for an action that no page requires; correct its spelling, or add it to Config.Actions", name, slices.Sorted(maps.Keys(a.known)))
		}
	}
}

// checkDenied logs an error if a handler of the host has asked the Manager for an
// action that nothing lists. RequireAction names its actions at start-up, and
// UseAction does not.
func (s *Server) checkDenied(action string) {
	a := &s.actions
	a.mu.Lock()
	defer a.mu.Unlock()
	if action != "" && action != twofa.ActionCredentials && !isBuiltIn(action) && len(a.known) > 0 && !a.known[action] {
		a.report(s.cfg.Logger, "twofahttp: a handler requires an action that neither Config.Actions nor RequireAction has; correct its spelling, or add it to Config.Actions", action, slices.Sorted(maps.Keys(a.known)))
	}
}

// report logs an error once for each name. a.mu must be locked.
func (a *actionNames) report(logger *slog.Logger, message, action string, known []string) {
	if !a.reported[action] && len(a.reported) < maxReported {
		a.reported[action] = true
		logger.Error(message, "action", action, "known", known)
	}
}
