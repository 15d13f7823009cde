// Package letter lays out the mails of the library, as text and as HTML.
package letter

import (
	"html"
	"math"
	"strconv"
	"strings"

	"github.com/twofa-go/twofa/locale"
)

const (
	defaultColor = "#2c4fc9"

	font      = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif;font-size:16px;line-height:24px;"
	darkStyle = "@media (prefers-color-scheme:dark){.b{background:#0e1014!important;color:#e8eaef!important}" +
		".c{background:#16191f!important;border-color:#282d37!important}.m{color:#a4abb9!important}.f{background:#252a33!important}}"
)

// Letter is a mail before it has a form. As text and as HTML it says the same.
type Letter struct {
	Issuer  string
	Color   string // of the button, as IsColor accepts it; empty for the default
	Logo    string // https address; empty for the name of the issuer
	Support string // https or mailto address; empty if there is none

	Subject string
	Lead    []string // paragraphs at the top
	Link    string   // address of the button; empty if there is none
	Label   string
	Typed   string   // paragraph that introduces Code
	Code    string   // code that can be typed instead of opening the link; empty if there is none
	Below   []string // paragraphs below the button
	Details []string // what is known of the request
	Advice  string   // what to do, in most mails if it was not the user
}

// Text returns the mail as plain text in a language.
func (l Letter) Text(c *locale.Catalog) string {
	lines := append([]string{}, l.Lead...)
	if l.Link != "" {
		lines = append(lines, l.Link)
	}
	if l.Code != "" { // after the long address, because phones show the first lines while they are locked
		lines = append(lines, l.Typed, l.Code)
	}
	lines = append(append(append(lines, l.Below...), l.Details...), l.Advice, l.reason(c))
	if l.Support != "" {
		lines = append(lines, l.support(c)+": "+strings.TrimPrefix(l.Support, "mailto:"))
	}
	return strings.Join(lines, "\n\n") + "\n"
}

// reason says why the user gets the mail, because an unexpected one looks like
// fraud.
func (l Letter) reason(c *locale.Catalog) string {
	return c.Text("mail.reason", locale.Args{"issuer": l.Issuer})
}

func (l Letter) support(c *locale.Catalog) string {
	return c.Text("mail.support", locale.Args{"issuer": l.Issuer})
}

// HTML returns a page without a table, a script or a picture other than the logo.
// Its styles are inline, because many mail programs drop all others. Those that
// keep them have dark colors.
func (l Letter) HTML(c *locale.Catalog) string {
	direction := "ltr"
	if c.RTL() {
		direction = "rtl"
	}
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="` + c.Tag() + `" dir="` + direction + `"><head><meta charset="utf-8">` +
		`<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">` +
		`<title>` + html.EscapeString(l.Subject) + `</title><style>` + darkStyle + `</style></head>` +
		`<body class="b" style="margin:0;padding:24px 12px;background:#f5f6f8;color:#191c23;` + font + `"><div style="max-width:544px;margin:0 auto">` +
		`<p style="margin:0 0 16px;font-size:18px;font-weight:600">` + l.logo() + `</p>` +
		`<div class="c" style="padding:32px 24px 16px;background:#fff;border:1px solid #e1e4ea;border-radius:12px">` +
		`<h1 style="margin:0 0 12px;font-size:24px;line-height:30px;font-weight:600">` + html.EscapeString(l.Subject) + `</h1>`)
	for _, line := range l.Lead {
		b.WriteString(paragraph(line))
	}
	b.WriteString(l.button() + l.code())
	for _, line := range l.Below {
		b.WriteString(paragraph(line))
	}
	if len(l.Details) > 0 {
		b.WriteString(`<p class="f" style="margin:0 0 16px;padding:12px 16px;background:#eef0f4;border-radius:8px;font-size:14px">` + escapeLines(l.Details) + `</p>`)
	}
	b.WriteString(paragraph(l.Advice) + `</div><p class="m" style="margin:16px 0 0;color:#545b68;font-size:13px;line-height:20px">` + html.EscapeString(l.reason(c)))
	if l.Support != "" {
		b.WriteString(`<br><a style="color:inherit" href="` + html.EscapeString(l.Support) + `">` + html.EscapeString(l.support(c)) + `</a>`)
	}
	b.WriteString("</p></div></body></html>\n")
	return b.String()
}

func (l Letter) logo() string {
	name := html.EscapeString(l.Issuer)
	if l.Logo == "" {
		return name
	}
	return `<img src="` + html.EscapeString(l.Logo) + `" alt="` + name + `" height="28" style="display:block;height:28px">`
}

// button returns the link as a button and as an address to copy, because not all
// mail programs open links.
func (l Letter) button() string {
	if l.Link == "" {
		return ""
	}
	address, color := html.EscapeString(l.Link), l.Color
	if color == "" {
		color = defaultColor
	}
	return `<p style="margin:0 0 16px"><a href="` + address + `" style="display:inline-block;padding:12px 24px;background:` + color + `;border-radius:8px;color:` + textOn(color) +
		`;font-weight:600;text-decoration:none">` + html.EscapeString(l.Label) + `</a></p>` +
		`<p class="m" dir="ltr" style="margin:0 0 16px;color:#545b68;font-size:13px;line-height:20px;word-break:break-all">` + address + `</p>`
}

// code returns the code in large digits, which can be selected as one word.
func (l Letter) code() string {
	if l.Code == "" {
		return ""
	}
	return paragraph(l.Typed) + `<p dir="ltr" translate="no" style="margin:0 0 16px;font-family:ui-monospace,Menlo,Consolas,monospace;font-size:32px;line-height:40px;font-weight:600;letter-spacing:6px">` +
		html.EscapeString(l.Code) + `</p>`
}

func paragraph(text string) string {
	return `<p style="margin:0 0 16px">` + html.EscapeString(text) + `</p>`
}

func escapeLines(lines []string) string {
	escaped := make([]string, len(lines))
	for i, line := range lines {
		escaped[i] = html.EscapeString(line)
	}
	return strings.Join(escaped, "<br>")
}

// IsColor reports whether a text is "#" and six hexadecimal digits.
func IsColor(s string) bool {
	_, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
	return err == nil && len(s) == 7 && s[0] == '#'
}

// textOn returns white if its contrast on a color is at least 4.5 (WCAG 2.2,
// 1.4.3). Otherwise that of black is.
func textOn(color string) string {
	n, _ := strconv.ParseUint(color[1:], 16, 32)
	luminance := 0.2126*linear(n>>16) + 0.7152*linear(n>>8&0xff) + 0.0722*linear(n&0xff)
	if 1.05/(luminance+0.05) >= 4.5 {
		return "#fff"
	}
	return "#000"
}

// linear returns the intensity of one byte of an sRGB color.
func linear(n uint64) float64 {
	v := float64(n) / 255
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}
