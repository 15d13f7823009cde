package twofahttp

import (
	"net/url"
	"strings"
)

// maxNext is what fits into a cookie of its own. Addresses of SAML requests have
// up to 2 KB.
const maxNext = 2800

// SafeRedirect returns next if it is a local path, and fallback otherwise. It
// refuses addresses of other sites in every spelling that browsers understand:
// "//evil", "/\evil", "https:evil", escaped or with control characters, and
// addresses longer than 2,800 bytes. Without it, a login link could send users to
// an attacker's site (open redirect).
func SafeRedirect(next, fallback string) string {
	if isLocalPath(next) {
		return next
	}
	return fallback
}

func isLocalPath(next string) bool {
	if len(next) > maxNext || !strings.HasPrefix(next, "/") {
		return false
	}
	for i := range len(next) {
		if next[i] <= ' ' || next[i] >= 0x7f || next[i] == '\\' {
			return false
		}
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return false
	}
	return isPlainPath(next[:len(next)-len(pathSuffix(next))])
}

// pathSuffix returns the query and fragment of a local path.
func pathSuffix(next string) string {
	if i := strings.IndexAny(next, "?#"); i >= 0 {
		return next[i:]
	}
	return ""
}

// isPlainPath reports whether a path stays the same when it is cleaned or
// unescaped, even several times. It also refuses the rare harmless path with an
// escaped percent sign.
func isPlainPath(path string) bool {
	for range 4 {
		if strings.Contains(path, "//") || strings.Contains(path, "\\") || strings.ContainsFunc(path, isControl) {
			return false
		}
		for segment := range strings.SplitSeq(path, "/") {
			if segment == "." || segment == ".." {
				return false
			}
		}
		unescaped, err := url.PathUnescape(path)
		if err != nil || unescaped == path {
			return err == nil
		}
		path = unescaped
	}
	return false
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
