package browser

import (
	_ "embed"
	"fmt"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

//go:embed measure.js
var measureJS string

// openAll opens everything that can be opened on the page, or closes it again.
const openAll = `document.querySelectorAll('details').forEach((e) => { e.name = ''; e.open = %t; })`

// faults returns what is wrong with a page of this width by the computed sizes of
// its elements, including those in menus that are closed.
func (b *chromiumTab) faults(width int) []string {
	b.t.Helper()
	eval[any](b, fmt.Sprintf(openAll, true))
	defer eval[any](b, fmt.Sprintf(openAll, false))
	return eval[[]string](b, fmt.Sprintf("(%s)(%d)", measureJS, width))
}

// Each rule of measure.js notices a page that breaks it, and a page that breaks
// none has no fault.
func TestSelf_MeasureFindsFaults(t *testing.T) {
	t.Parallel()
	b := (&site{t: t, in: inChromium}).browser(t)
	b.do(chromedp.EmulateViewport(320, 700))
	const good = `<h1 style="font-size: 24px; font-weight: 600">x</h1>`
	for body, want := range map[string]string{
		good: ``,
		good + `<h2 style="font-size: 18px; font-weight: 600">x</h2><p style="font-size: 13px">x <a href="/">y</a></p>`: ``,
		good + `<div style="width: 400px">x</div>`:                                                            `sideways`,
		good + `<div style="position: absolute; left: -9px">x</div>`:                                          `outside of the page, from -9`,
		good + `<div style="width: 50px; overflow: hidden; white-space: nowrap">a text that is cut off</div>`: `in a box of 50 px (overflow hidden)`,
		good + `<div style="width: 50px; white-space: nowrap">a text that leaves its box</div>`:               `in a box of 50 px (overflow visible)`,
		good + `<p style="display: inline-flex">Ask <bdi>Acme</bdi> support</p>`:                              `loses its spaces`,
		good + `<p style="width: 180px; overflow-wrap: anywhere">Wiederherstellungs&shy;codes</p>`:            ``,
		good + `<p style="width: 60px; overflow-wrap: anywhere">Authentification</p>`:                         `the word Authentification is broken`,
		good + `<p style="font-size: 15px">x</p>`:                                                             `text of 15px`,
		good + `<input style="font-size: 12px; height: 44px" aria-label="x">`:                                 `text of 12px`,
		good + `<p><b>x</b></p>`: `weight 700`,
		good + `<button style="font-size: 16px; width: 44px; height: 40px">x</button>`:                                 `a target of 44 by 40 px`,
		good + `<button style="font-size: 16px; width: 40px; height: 44px">x</button>`:                                 `a target of 40 by 44 px`,
		good + `<details><summary style="height: 30px">x</summary></details>`:                                          `by 30 px`,
		good + `<details><summary style="height: 44px">x</summary><select style="font-size: 16px"></select></details>`: `<select`,
		good + `<a href="/" style="display: block; height: 20px; line-height: 20px">x</a>`:                             `a link of 20 px`,
		good + `<label style="display: block"><input type="checkbox">x</label>`:                                        `type="checkbox"`,
		good + `<input type="checkbox">`:                       `without a label`,
		`<h2 style="font-size: 18px; font-weight: 600">x</h2>`: `one h1`,
		good + good: `one h1`,
		good + `<h3 style="font-size: 16px; font-weight: 600">x</h3>`:                                     `leaves out a level`,
		good + `<main><button class="btn-primary">x</button><button class="btn-danger">y</button></main>`: `a second filled button`,
		good + `<button aria-label="Close">Shut</button>`:                                                 `a name without the words`,
		good + `<button style="outline: none">x</button>`:                                                 `no visible focus`,
		good + `<a href="/" style="outline: 1px solid">x</a>`:                                             `no visible focus`,
	} {
		b.goTo("data:text/html," + url.PathEscape(`<!doctype html><html lang="en"><title>x</title><style>body { margin: 0; font-size: 16px } :focus-visible { outline: 2px solid }</style>`+body))
		if want == "" {
			require.Empty(t, b.faults(320), body)
		} else {
			require.Contains(t, fmt.Sprint(b.faults(320)), want, body)
		}
	}
}
