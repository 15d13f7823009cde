package twofahttp

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/policytext"
	"github.com/twofa-go/twofa/locale"
)

// policyData is the data of the page "policy".
type policyData struct {
	Origin       policyOrigin
	Mails        bool   // whether the other admins are mailed if the policy gets weaker
	Version      string // of the policy in force
	Base         string // policy that the form was filled with, as JSON
	EnrollFirst  bool   // the admin has no authenticator, so could not save
	Requirements []option
	SSO          bool
	Deadline     string // as the admin typed it, or as in 2006-01-02
	FirstDay     string // first day that can be a deadline
	LastDay      string // last day that can be a deadline
	Ends         string // exact time of a deadline that is not the end of a day; empty otherwise
	Grace        string // days, as the admin typed them
	Remember     string // days, as the admin typed them
	TurnOff      []option
	Weaken       []option
	ResetBy      []option
	Rules        []policyRule
	Wrong        map[string]*alert // messages about inputs that must be corrected, by the ID of the element
}

// policyOrigin says where the policy in force comes from.
type policyOrigin struct {
	By    string // "default", "host", "staff" or "user"
	Name  string // name of that user; empty if it is not known
	Since time.Time
}

// policyRule is the rule of an action.
type policyRule struct {
	ID      string // of its element
	Action  string
	Title   string
	Ages    []option
	Methods []option // empty if they cannot be changed
}

// option is a choice of a field.
type option struct {
	Value    string
	Label    string
	Hint     string
	Selected bool
}

// getPolicy shows the policy of the account in a form.
func (x *exchange) getPolicy() (view, error) {
	v, err := x.showPolicy(x.policyInfo, x.policyInfo.Policy, nil)
	v.alert = x.takeNotice()
	return v, err
}

// showPolicy shows the form, filled with a policy. After a form that failed, it
// shows again what the admin typed, and the first of wrong is the reason.
func (x *exchange) showPolicy(info twofa.PolicyInfo, base twofa.Policy, form url.Values, wrong ...error) (view, error) {
	factors, err := x.m.Factors(x.ctx(), x.caller())
	if err != nil {
		return view{}, err
	}
	encoded, err := json.Marshal(base)
	if err != nil {
		return view{}, err
	}
	in := x.policyInput()
	if form == nil {
		form = in.policyTexts(base)
	}
	c := x.locale()
	d := policyData{Origin: originOfPolicy(info), Mails: x.m.Info().MailsAdmins, Version: info.Version, Base: string(encoded), EnrollFirst: !slices.ContainsFunc(factors.List, isApp),
		Requirements: in.requirementOptions(c, base, form.Get("require")), SSO: form.Get("sso") == "yes",
		Deadline: form.Get("deadline"), FirstDay: in.now.UTC().Format(time.DateOnly), LastDay: in.lastDeadline().Format(time.DateOnly),
		Grace: form.Get("grace"), Remember: form.Get("remember"),
		TurnOff: turnOffOptions(c, form.Get("turn_off")), Weaken: weakenOptions(c, form.Get("weaken")), ResetBy: resetByOptions(c, form.Get("reset_by")), Wrong: map[string]*alert{}}
	if at := base.Deadline; !at.IsZero() && !at.Equal(endOfDay(at.UTC().Truncate(day))) {
		d.Ends = c.DateTime(at.UTC())
	}
	for i, action := range in.actions {
		d.Rules = append(d.Rules, policyRule{ID: "rule" + strconv.Itoa(i), Action: action, Title: x.actionTitle(action),
			Ages: ageOptions(c, base, action, form.Get(agePrefix+action)), Methods: in.methodOptions(c, base, action, form.Get(methodsPrefix+action))})
	}
	v := view{page: "policy", data: d}
	for _, err := range wrong {
		if p := problemOf(err); p.Field != "" {
			d.Wrong[d.element(p)] = x.alert(p)
		}
	}
	if len(wrong) > 0 {
		v.err = wrong[0]
	}
	return v, nil
}

// element returns the ID of the element that a message is about.
func (d policyData) element(p problem) string {
	for _, r := range d.Rules {
		if p.Field == "rule" && r.Action == p.Detail {
			return r.ID
		}
	}
	return p.Field
}

func isApp(f twofa.Factor) bool { return f.Method == twofa.TOTP }

func originOfPolicy(info twofa.PolicyInfo) policyOrigin {
	if info.Default {
		return policyOrigin{By: "default"}
	}
	return policyOrigin{By: info.By.Kind, Name: info.ByName, Since: info.Since}
}

// Texts of the choices.
var (
	turnOffTexts = [][2]string{{"user", "page.policy.off.user"}, {"admin", "page.policy.off.admin"}, {"support", "page.policy.off.support"}}
	weakenTexts  = [][2]string{{"owner", "page.policy.weaken.owner"}, {"admin", "page.policy.weaken.admin"}}
	resetByTexts = [][2]string{{"admin", "page.policy.reset_by.admin"}, {"owner", "page.policy.reset_by.owner"}, {"support", "page.policy.reset_by.support"}}
	methodsTexts = map[string]string{"default": "page.policy.methods.default", "totp": "page.policy.methods.totp", "sms": "page.policy.methods.sms", "email": "page.policy.methods.email"}
)

// requirementOptions returns the requirements that the host can enforce, and the
// one in force.
func (f policyInput) requirementOptions(c *locale.Catalog, base twofa.Policy, selected string) (list []option) {
	for _, r := range policytext.Requirements {
		if id := "page.policy.require." + r.Name; f.offers(base, r) || requirementOf(base) == r.Name {
			list = append(list, option{r.Name, c.Text(id, nil), c.Text(id+".hint", nil), selected == r.Name})
		}
	}
	if requirementOf(base) == policytext.Custom {
		list = append(list, option{policytext.Custom, c.Text("page.policy.require.custom", nil), policytext.Description(c, base.Required, acceptedMethods(base), base.Fallback), selected == policytext.Custom})
	}
	return list
}

func turnOffOptions(c *locale.Catalog, selected string) []option {
	return textOptions(c, turnOffTexts, selected)
}

func weakenOptions(c *locale.Catalog, selected string) []option {
	return textOptions(c, weakenTexts, selected)
}

func resetByOptions(c *locale.Catalog, selected string) []option {
	return textOptions(c, resetByTexts, selected)
}

func textOptions(c *locale.Catalog, texts [][2]string, selected string) (list []option) {
	for _, t := range texts {
		list = append(list, option{Value: t[0], Label: c.Text(t[1], nil), Selected: selected == t[0]})
	}
	return list
}

// offeredAges are the ages of a proof that the form offers, in minutes.
var offeredAges = []int{0, 1, 5, 15, 30, 60}

func ageOptions(c *locale.Catalog, base twofa.Policy, action, selected string) (list []option) {
	add := func(value string, age time.Duration) {
		list = append(list, option{Value: value, Label: policytext.Age(c, age), Selected: selected == value})
	}
	for _, minutes := range offeredAges {
		if age := time.Duration(minutes) * time.Minute; age <= maxAge(action) {
			add(strconv.Itoa(minutes), age)
		}
	}
	if now := showAge(base, action); !slices.ContainsFunc(list, func(o option) bool { return o.Value == now }) {
		add(now, base.Rule(action).MaxAge)
	}
	return orSelect(list, showAge(base, action))
}

// orSelect selects the option with a value if no other one is selected. Otherwise a
// browser would send the first one.
func orSelect(list []option, value string) []option {
	if !slices.ContainsFunc(list, func(o option) bool { return o.Selected }) {
		for i := range list {
			list[i].Selected = list[i].Value == value
		}
	}
	return list
}

func (f policyInput) methodOptions(c *locale.Catalog, base twofa.Policy, action, selected string) (list []option) {
	if builtInActions[action].ofAdmin {
		return nil
	}
	now := showRuleMethods(base, action)
	for _, r := range ruleMethods {
		label := methodsTexts[r.name]
		if r.name == "default" && action == twofa.ActionFactors {
			label = "page.policy.methods.sms" // whatever the account accepts at login
		}
		redundant := r.name == "sms" && action == twofa.ActionFactors && now != r.name
		if (f.offersRule(action, r.methods) || now == r.name) && !redundant {
			list = append(list, option{Value: r.name, Label: c.Text(label, nil), Selected: selected == r.name})
		}
	}
	if now == customMethods {
		list = append(list, option{Value: customMethods, Label: policytext.Methods(c, base.Actions[action].Methods), Selected: selected == customMethods})
	}
	return orSelect(list, now)
}

// basePolicy returns the policy with which the form of the request was filled.
// What the form cannot set is that of the policy in force.
func (x *exchange) basePolicy(inForce twofa.Policy) (twofa.Policy, error) {
	var p twofa.Policy
	if err := json.Unmarshal([]byte(x.form.Get("base")), &p); err != nil {
		return p, errors.Join(errBadForm, err)
	}
	if _, err := json.Marshal(p); err != nil { // a deadline in a year that JSON does not have
		return p, errors.Join(errBadForm, err)
	}
	return x.policyInput().keep(inForce, p), nil
}
