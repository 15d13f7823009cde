package browser

import (
	"cmp"
	"flag"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var matrix = flag.Bool("matrix", false, "look at each page in each state in every language, width and setting, instead of once; with -pictures, write a picture of each look to out/matrix")

// sight is a way to look at a page.
type sight struct {
	name, language string
	width          int
	scheme         string // color scheme; light if empty
	forced         bool   // the colors of the system replace those of the page
	noScript       bool
	sizesOnly      bool // axe-core does not look, because it has seen the same in another width or language
}

// sights are grouped by what needs another page: the language, and whether the
// page runs scripts.
var sights = []sight{
	{name: "light", language: "en", width: 1280},
	{name: "dark", language: "en", width: 1280, scheme: "dark"},
	{name: "forced", language: "en", width: 1280, forced: true},
	{name: "zoom", language: "en", width: 640}, // 1280 at 200 %
	{name: "phone", language: "en", width: 390},
	{name: "narrow", language: "en", width: 320},
	{name: "noscript", language: "en", width: 1280, noScript: true},
	{name: "de", language: "de", width: 1280},
	{name: "de-phone", language: "de", width: 390, sizesOnly: true},
	{name: "de-narrow", language: "de", width: 320, sizesOnly: true},
	{name: "ja", language: "ja", width: 1280},
	{name: "ja-narrow", language: "ja", width: 320, sizesOnly: true},
	{name: "rtl", language: "ar-XB", width: 1280},
	{name: "rtl-narrow", language: "ar-XB", width: 320, sizesOnly: true},
	{name: "long", language: "en-XA", width: 1280},
	{name: "long-narrow", language: "en-XA", width: 320, sizesOnly: true},
	{name: "fr-narrow", language: "fr", width: 320, sizesOnly: true},
	{name: "es-narrow", language: "es", width: 320, sizesOnly: true},
	{name: "pt-narrow", language: "pt-BR", width: 320, sizesOnly: true},
}

// Each page in each state fits its width, has the sizes of the scale, and makes
// the browser report nothing, and axe-core finds no violation. Without the flag,
// each state is seen once, in one of the ways in turn, and axe-core sees the first
// state of each page. Everything is seen by
//
//	go test ./internal/browser -run TestMatrix -matrix -timeout 60m
func TestMatrix(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, names := newSamples(t)
	pages, order := map[string][]look{}, []string{}
	for i, name := range names {
		page, _, _ := strings.Cut(name, "-")
		first := pages[page] == nil
		if first {
			order = append(order, page)
		}
		if *matrix {
			pages[page] = append(pages[page], look{name, sights})
			continue
		}
		in := sights[i%len(sights)]
		in.sizesOnly = !first
		pages[page] = append(pages[page], look{name, []sight{in}})
	}
	for _, page := range order {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			b := (&site{t: t, in: inChromium, url: s.url}).browser(t)
			b.keepFocus()
			for _, l := range pages[page] {
				b.lookAt(l)
			}
		})
	}
}

// look is what is done with a page in one state.
type look struct {
	sample string
	sights []sight
}

// lookAt reports everything that is wrong with a sample.
func (b *chromiumTab) lookAt(l look) {
	var shown sight
	for _, in := range l.sights {
		b.emulate(in)
		if shown.language != in.language || shown.noScript != in.noScript {
			b.allowScript(!in.noScript)
			b.must(b.window.open(b.url + "/samples/" + in.language + "/" + l.sample))
			b.until(`true`)
			b.allowScript(true) // for axe-core; the scripts of the page have not run
			shown = in
		}
		if *pictures {
			b.picture("matrix/" + in.name + "-" + l.sample)
		}
		for _, fault := range b.faults(in.width) {
			b.t.Errorf("%s, %s: %s", l.sample, in.name, fault)
		}
		if !in.sizesOnly {
			for _, v := range b.violations() {
				b.t.Errorf("%s, %s: axe-core: %s %+v", l.sample, in.name, v.Help, v.Nodes)
			}
		}
		for _, complaint := range b.chromium.complaints(b.url) {
			b.t.Errorf("%s, %s: the browser reports: %s", l.sample, in.name, complaint)
		}
		b.chromium.forgive()
	}
}

// keepFocus makes the pages of this tab behave as if the user looked at them, even
// if another tab is in front. A page without the focus shows no focus.
func (b *chromiumTab) keepFocus() {
	b.t.Helper()
	_, err := chromedp.Call(b.chromium.ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	b.must(err)
}

// emulate shows the page in another way.
func (b *chromiumTab) emulate(in sight) {
	b.t.Helper()
	forced := "none"
	if in.forced {
		forced = "active"
	}
	b.emulateMedia("", map[string]string{"prefers-color-scheme": cmp.Or(in.scheme, "light"), "forced-colors": forced})
	if in.width < 600 {
		b.do(chromedp.EmulateViewport(int64(in.width), 844, chromedp.EmulateMobile))
		return
	}
	b.do(chromedp.EmulateViewport(int64(in.width), 900))
}
