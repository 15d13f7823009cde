package twofahttp

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// WantsPage reports whether a request is for a page: its Accept header names
// text/html and prefers it to JSON, and a browser navigates to it. Browsers
// except old ones say so in the header Sec-Fetch-Mode. Requests of scripts, of
// images and of htmx are not for a page, whatever they accept.
//
// Turbo is the exception: what it fetches for a form or a frame is a page,
// because Turbo follows redirects and shows where they end. Give your login page
// <meta name="turbo-visit-control" content="reload">, so that Turbo loads it as a
// whole, as it does with the pages of this package.
//
// A program that asks for HTML like a browser is taken for one, such as the
// HttpURLConnection of Java if its Accept header is not set. If your API has such
// clients, set [Config.WantsPage].
func WantsPage(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	switch {
	case !prefersHTML(r.Header.Values("Accept")), isHTMX(r), r.Header.Get("X-Requested-With") == "XMLHttpRequest":
		return false
	case r.Header.Get("Turbo-Frame") != "", strings.Contains(r.Header.Get("Accept"), "text/vnd.turbo-stream.html"):
		return true
	}
	return mode == "" || mode == "navigate"
}

func isHTMX(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// prefersHTML reports whether an Accept header names text/html with a higher
// quality than any JSON.
func prefersHTML(accept []string) bool {
	var html, data float64
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		mediaType, params, _ := mime.ParseMediaType(part) // what cannot be parsed is not text/html
		switch {
		case mediaType == "text/html":
			html = max(html, quality(params))
		case mediaType == "application/json", strings.HasSuffix(mediaType, "+json"):
			data = max(data, quality(params))
		}
	}
	return html > data
}

// quality returns the weight of an entry of an Accept header (RFC 9110, section
// 12.4.2).
func quality(params map[string]string) float64 {
	q, err := strconv.ParseFloat(params["q"], 64)
	if err != nil {
		return 1
	}
	return q
}
