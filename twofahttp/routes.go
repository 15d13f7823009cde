package twofahttp

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

type handler func(*exchange) (view, error)

// route is an entry of the route table. The path is below Config.Prefix.
type route struct {
	method, path string
	handle       handler
}

// routeTable lists every request that [Server.Handler] answers. Only a POST
// changes anything, and each POST passes readForm before it is handled.
func routeTable() []route {
	return []route{
		{"GET", "", (*exchange).getSettings},
		{"GET", "challenge", (*exchange).getChallenge},
		{"POST", "challenge", (*exchange).postChallenge},
		{"POST", "verify", (*exchange).postVerify},
		{"POST", "send", (*exchange).postSend},
		{"POST", "cancel", (*exchange).postCancel},
		{"GET", "status", (*exchange).getStatus},
		{"GET", "help", (*exchange).getHelp},
		{"GET", "link", (*exchange).getLink},
		{"POST", "link", (*exchange).postLink},
		{"GET", casePath, (*exchange).getCase},
		{"POST", casePath, (*exchange).postCase},
		{"GET", "asked", (*exchange).getAsked},
		{"POST", "asked", (*exchange).postAsked},
		{"GET", "lost", (*exchange).getLost},
		{"POST", "lost", (*exchange).postLost},
		{"GET", "confirm", (*exchange).getConfirm},
		{"GET", "recovered", (*exchange).getRecovered},
		{"GET", "history", (*exchange).getHistory},
		{"GET", "setup", (*exchange).getEnrollment},
		{"POST", "setup", (*exchange).postEnrollment},
		{"POST", "setup/confirm", (*exchange).postEnrollmentCode},
		{"POST", "setup/saved", (*exchange).postEnrollmentSaved},
		{"GET", "setup/codes.txt", (*exchange).getEnrollmentCodes},
		{"GET", changeRename, getChange(changeRename)},
		{"POST", changeRename, (*exchange).postFactorRename},
		{"GET", changeRemove, getChange(changeRemove)},
		{"POST", changeRemove, (*exchange).postFactorRemove},
		{"GET", "done", (*exchange).getDone},
		{"GET", "due", (*exchange).getDue},
		{"GET", "codes/missing", (*exchange).getCodesMissing},
		{"POST", "codes", (*exchange).postCodes},
		{"GET", changeNewCodes, getChange(changeNewCodes)},
		{"POST", changeNewCodes, (*exchange).postNewCodes},
		{"GET", changeForget, getChange(changeForget)},
		{"POST", changeForget, (*exchange).postBrowserForget},
		{"GET", changeForgetAll, getChange(changeForgetAll)},
		{"POST", changeForgetAll, (*exchange).postBrowserForgetAll},
		{"GET", changeRevoke, getChange(changeRevoke)},
		{"POST", changeRevoke, (*exchange).postRevoke},
		{"POST", "signin", (*exchange).postSignIn},
		{"POST", bouncedPath, (*exchange).postBounced},
		{"GET", "style.css", (*exchange).getStylesheet},
		{"GET", "twofa.js", (*exchange).getScript},
	}
}

// Paths whose forms need no form token, because a sealed token in them decides.
const (
	bouncedPath = "login"
	casePath    = "case"
)

// teamRoutes lists the requests for the pages of admins. They exist only with
// Config.Team, and routeMap closes each of them to everybody else.
func teamRoutes() []route {
	return []route{
		{"GET", "team", (*exchange).getTeam},
		{"GET", "team/counts", (*exchange).getTeamCounts},
		{"GET", "team.csv", (*exchange).getTeamCSV},
		{"GET", "team/member", (*exchange).getMember},
		{"POST", "team/extend", (*exchange).postExtend},
		{"POST", "team/unlock", (*exchange).postUnlock},
		{"GET", "team/reset", (*exchange).getReset},
		{"POST", "team/reset", (*exchange).postReset},
		{"GET", "activity", (*exchange).getActivity},
		{"GET", "activity.csv", (*exchange).getActivityCSV},
		{"GET", "activity.jsonl", (*exchange).getActivityLines},
		{"GET", "policy", (*exchange).getPolicy},
		{"POST", "policy", (*exchange).postPolicy},
		{"POST", "policy/preview", (*exchange).postPreview},
	}
}

// withEvents are the paths that need a store which lists events.
var withEvents = []string{"history", "activity", "activity.csv", "activity.jsonl"}

// routeMap returns the handlers by path and method.
func routeMap(team, events bool) map[string]map[string]handler {
	routes := map[string]map[string]handler{}
	table := routeTable()
	if team {
		for _, rt := range teamRoutes() {
			table = append(table, route{rt.method, rt.path, asAdmin(rt.handle)})
		}
	}
	for _, rt := range table {
		if !events && slices.Contains(withEvents, rt.path) {
			continue
		}
		if routes[rt.path] == nil {
			routes[rt.path] = map[string]handler{}
		}
		routes[rt.path][rt.method] = rt.handle
	}
	return routes
}

// dispatch calls the handler of the request's path and method.
func (x *exchange) dispatch() (view, error) {
	path, ok := strings.CutPrefix(x.r.URL.Path, x.cfg.Prefix)
	methods := x.routes[path]
	if !ok || methods == nil {
		return view{}, errNotFound
	}
	method := x.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	handle := methods[method]
	if handle == nil {
		return view{}, methodNotAllowed(methods)
	}
	if method == http.MethodPost {
		if err := x.readForm(); err != nil {
			return view{}, err
		}
		return x.once(func() (view, error) { return handle(x) }, "form", path, x.form.Encode())
	}
	if err := x.checkCookies(); err != nil {
		return view{}, err
	}
	return handle(x)
}

func methodNotAllowed(methods map[string]handler) error {
	allow := slices.Collect(maps.Keys(methods))
	if slices.Contains(allow, http.MethodGet) {
		allow = append(allow, http.MethodHead)
	}
	slices.Sort(allow)
	return &httpError{code: "method", allow: strings.Join(allow, ", ")}
}

func (x *exchange) getStylesheet() (view, error) {
	return view{file: &file{"text/css; charset=utf-8", x.cfg.Stylesheet}}, nil
}

func (x *exchange) getScript() (view, error) {
	return view{file: &file{"text/javascript; charset=utf-8", scriptJS}}, nil
}
