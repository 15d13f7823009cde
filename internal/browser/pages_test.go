package browser

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// look requires that the page has this heading, that axe-core finds no
// violation, and that the page fits the width of a phone. Without the flag
// -matrix, axe-core sees each state in one color scheme, in turn. With -pictures,
// look also writes pictures of the page in both color schemes and on a phone to the
// folder out, for people to review.
func (b *chromiumTab) look(name, heading string) {
	b.t.Helper()
	require.Equal(b.t, heading, eval[string](b, `document.querySelector('h1').innerText`), name)
	b.looks++
	for i, scheme := range []string{"light", "dark"} {
		seen := *matrix || b.looks%2 == i
		if !seen && !*pictures {
			continue
		}
		b.prefer("", scheme)
		b.picture(name + "-" + scheme)
		if seen {
			require.Empty(b.t, b.violations(), "%s, %s", name, scheme)
		}
	}
	b.prefer("", "light")
	b.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
	b.picture(name + "-phone")
	require.LessOrEqual(b.t, eval[int](b, `document.documentElement.scrollWidth`), 390, "%s must fit the width of a phone", name)
	b.do(chromedp.EmulateViewport(1280, 900))
}

// illustrate writes a picture for the README. Copies of these pictures are in the
// folder docs.
func (b *chromiumTab) illustrate(name string) {
	b.t.Helper()
	b.keep("readme-"+name, b.inBothSchemes(600))
}

// inBothSchemes returns a picture of the page in the light and in the dark color
// scheme, side by side, as a small PNG file.
func (b *chromiumTab) inBothSchemes(width int) []byte {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(int64(width), 400))
	var both *image.RGBA
	for i, scheme := range []string{"light", "dark"} {
		b.prefer("", scheme)
		shot, err := png.Decode(bytes.NewReader(b.whole()))
		require.NoError(b.t, err)
		if i == 0 {
			both = image.NewRGBA(image.Rect(0, 0, 2*width, shot.Bounds().Dy()))
		}
		draw.Draw(both, image.Rect(width*i, 0, width*i+width, shot.Bounds().Dy()), shot, image.Point{}, draw.Src)
	}
	b.prefer("", "light")
	b.do(chromedp.EmulateViewport(1280, 900))
	var file bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	require.NoError(b.t, encoder.Encode(&file, withPalette(both)))
	return file.Bytes()
}

// withPalette returns a picture with 256 colors: at each step, the one is added by
// whose absence the picture differs most. A page has a few colors and the shades
// between them at the edges of letters, so no one sees a difference, and the file
// is a third of the size.
func withPalette(picture *image.RGBA) *image.Paletted {
	count := map[color.RGBA]int{}
	at := func(i int) color.RGBA {
		return color.RGBA{picture.Pix[4*i], picture.Pix[4*i+1], picture.Pix[4*i+2], picture.Pix[4*i+3]}
	}
	for i := range len(picture.Pix) / 4 {
		count[at(i)]++
	}
	colors := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Compare(uint32(a.R)<<16|uint32(a.G)<<8|uint32(a.B), uint32(b.R)<<16|uint32(b.G)<<8|uint32(b.B))
	})
	palette, nearest, distance := color.Palette{}, map[color.RGBA]uint8{}, map[color.RGBA]int{}
	for len(palette) < 256 {
		worst := slices.MaxFunc(colors, func(a, b color.RGBA) int { return cmp.Compare(count[a]*distance[a], count[b]*distance[b]) })
		if len(palette) > 0 && distance[worst] == 0 {
			break // each color is there
		}
		for _, c := range colors {
			d := square(c.R, worst.R) + square(c.G, worst.G) + square(c.B, worst.B)
			if len(palette) == 0 || d < distance[c] {
				nearest[c], distance[c] = uint8(len(palette)), d
			}
		}
		palette = append(palette, worst)
	}
	small := image.NewPaletted(picture.Rect, palette)
	for i := range small.Pix {
		small.Pix[i] = nearest[at(i)]
	}
	return small
}

func square(a, b uint8) int { return (int(a) - int(b)) * (int(a) - int(b)) }

// violation is a rule that the page breaks, as reported by axe-core.
type violation struct {
	ID, Help string
	Nodes    []struct{ HTML, FailureSummary string }
}

// violations runs axe-core in the page, with its rules for WCAG 2.2 A and AA
// and its best practices.
func (b *chromiumTab) violations() []violation {
	b.t.Helper()
	if !eval[bool](b, `'axe' in window`) {
		axe, err := os.ReadFile(filepath.Join(nodeModules(b.t), "axe-core", "axe.min.js"))
		require.NoError(b.t, err)
		b.do(chromedp.Evaluate[chromedp.Void](string(axe)))
	}
	return eval[[]violation](b, `axe.run({ resultTypes: ['violations'], selectors: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then((r) =>
		r.violations.map((v) => ({ ID: v.id, Help: v.help, Nodes: v.nodes.map((n) => ({ HTML: n.html, FailureSummary: n.failureSummary })) })))`)
}

// The tests below look at each page in each state that users see.

func TestPages_Setup(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithClock(t)
	jon := s.browser(t)
	jon.goTo("/login")
	jon.look("login", "Sign in")
	jon.press("Forgot your password?")
	jon.look("forgot", "Reset your password")
	jon.logIn("jon@brook.example")
	jon.look("contacts", "Contacts")
	jon.goTo("/2fa/")
	jon.look("settings-empty", "Two-factor authentication")
	jon.press("Set up two-factor authentication")
	jon.look("setup-start", "Set up two‑factor authentication")
	jon.press("Set up authenticator app")
	jon.goTo("/2fa/")
	jon.look("settings-unfinished", "Two-factor authentication")
	jon.goTo("/settings")
	jon.look("host-settings-unfinished", "Settings")
	jon.goTo("/2fa/")
	jon.press("Continue setup")
	jon.look("setup-qr", "Set up your authenticator app")
	phone := jon.scan()
	jon.click("Can’t scan it?")
	jon.look("setup-key", "Set up your authenticator app")
	jon.illustrate("setup")
	jon.fill("Enter the 6-digit code from the app", "000000")
	jon.press("Continue")
	jon.look("setup-qr-wrong", "Set up your authenticator app")
	jon.fill("Enter the 6-digit code from the app", phone.code())
	jon.press("Continue")
	jon.look("setup-codes", "Save your recovery codes")
	jon.download("Download")
	jon.look("setup-codes-saved", "Save your recovery codes")
	jon.press("Done")
	jon.look("settings", "Two-factor authentication")
	jon.click("Actions for Authenticator app")
	jon.look("settings-open", "Two-factor authentication")
	jon.press("Rename")
	jon.look("rename", "Rename “Authenticator app”")
	jon.goTo("/2fa/")
	jon.click("Actions for Authenticator app")
	jon.press("Remove")
	jon.look("remove", "Remove “Authenticator app”?")
	jon.press("Keep it")
	jon.click("Actions for recovery codes")
	jon.press("Generate new codes")
	jon.look("new-codes", "Generate new recovery codes?")
	jon.press("Keep my codes")
	jon.click("Actions for Authenticator app")
	jon.press("Move to a new phone")
	jon.look("setup-replace", "Move “Authenticator app” to a new phone")
	jon.press("Set up authenticator app")
	jon.look("setup-qr-new", "Set up your new phone")
	jon.goTo("/2fa/")
	jon.press("Add method")
	jon.look("setup-add", "Add an authenticator app")
	jon.goTo("/2fa/")
	clock.Add(15 * time.Minute) // until then, the code of the enrollment counts
	jon.press("View codes")
	jon.look("step-up-factors", "Confirm it’s you")
	jon.fill("6-digit code", phone.code())
	jon.press("Continue")
	jon.until(`document.querySelectorAll('[data-codes] code').length > 0`)
	jon.look("codes", "Your recovery codes")
	jon.goTo("/settings")
	jon.look("host-settings", "Settings")
	jon.goTo("/members")
	jon.look("members", "Members of Brook")
	jon.goTo("/2fa/nowhere")
	jon.look("not-found", "Not found")
	jon.goTo("/2fa/")
	jon.press("Sign out everywhere")
	jon.look("sign-out-everywhere", "Sign out everywhere?")
	jon.press("Sign out everywhere")
	jon.look("done-signed-out", "You are signed out everywhere")
	jon.press("Sign in")
	jon.at("/login")
}

func TestPages_Challenge(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithClock(t)
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	_, codes := jon.setUpApp()

	b := s.browser(t)
	b.logIn("jon@brook.example")
	b.look("challenge", "Enter your code")
	b.illustrate("challenge")
	for i := range 5 {
		b.fill("6-digit code", fmt.Sprintf("%06d", i)) // the same code would get the same answer again
		b.press("Continue")
		if i == 0 {
			b.look("challenge-wrong", "Enter your code")
		}
	}
	b.look("challenge-fifth", "Too many attempts")
	b.press("Try a code again") // the page still says how long
	b.reads("Until then no code is accepted")
	b.look("locked", "Too many attempts")
	b.press("Get help signing in")
	b.look("help", "Get help signing in")
	b.press("Go back")
	b.press("Use a recovery code")
	b.look("challenge-recovery", "Enter a recovery code")
	b.fill("Recovery code", codes[0])
	b.press("Continue")
	b.look("recovered", "You’re signed in")
	b.press("Not now")
	b.goTo("/2fa/")
	b.look("settings-recovered", "Two-factor authentication")
	b.reads("You signed in with a recovery code")
	b.goTo("/contacts")
	b.look("contacts-recovered", "Contacts")
	clock.Add(2 * time.Minute) // the lock is over
	b.goTo("/2fa/confirm?action=contacts.export&next=/contacts")
	b.look("step-up", "Confirm it’s you")
	b.press("Cancel")
	b.goTo("/dev/outbox")
	b.look("outbox", "Outbox")

	stranger := s.browser(t)
	stranger.goTo("/2fa/challenge")
	stranger.look("error-expired", "This is already done, or took too long")
}

func TestPages_Link(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s := newSite(t)
	ada, other := s.browser(t), s.browser(t)
	ada.logIn("ada@harbor.example")
	ada.look("link-waiting", "Check your email")
	link := s.mailedLink("ada@harbor.example")
	other.goTo(link)
	other.look("link-elsewhere", "Open this link in the other browser")
	ada.goTo(link)
	ada.look("link", "Finish signing in to Acme Contacts")
	ada.press("Sign in")
	ada.goTo(link)
	ada.look("link-over", "You’re already signed in")
	ada.goTo("/2fa/setup?start=1")
	ada.look("setup-start-email", "Set up two‑factor authentication")
}

func TestPages_Text(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithClock(t)
	eva := s.browser(t)
	eva.logIn("eva@meadow.example")
	eva.goTo(s.mailedLink("eva@meadow.example"))
	eva.press("Sign in")
	eva.look("setup-start-forced", "Set up two‑factor authentication")
	eva.goTo("/2fa/setup?start=1&method=sms")
	eva.look("setup-start-phone", "Set up two‑factor authentication")
	eva.choose("Country", "US")
	eva.fill("Mobile number", "12")
	eva.press("Text me a code")
	eva.look("setup-phone-wrong", "Set up two‑factor authentication")
	eva.reads("Authenticator app") // the other option must stay
	require.Equal(t, "US", eval[string](eva, field("Country")+`.value`), "the form must keep the input")
	require.Equal(t, "12", eval[string](eva, field("Mobile number")+`.value`))
	eva.fill("Mobile number", "202 555 0101")
	eva.press("Text me a code")
	eva.look("setup-codes-forced", "Save your recovery codes")
	eva.download("Download")
	eva.press("Next")
	eva.look("setup-phone", "Confirm your phone")
	eva.fill("6-digit code from the text message", s.textedCode("+12025550101"))
	eva.press("Confirm")
	eva.look("done-required", "Two-factor authentication is on")
	eva.press("Continue")
	eva.goTo("/2fa/")
	eva.look("settings-phone", "Two-factor authentication")

	b := s.browser(t)
	b.logIn("eva@meadow.example")
	b.reads("We texted a code to •••• 01")
	b.look("challenge-text", "Enter your code")
	b.press("Text me a new code")
	b.look("challenge-text-wait", "Enter your code")
	clock.Add(2 * time.Minute)
	b.press("Text me a new code")
	b.reads("We texted a code to •••• 01")
}
