package twofa

// NewTextCode and NewBrowserToken are where texted codes and the tokens of
// links and browsers come from.
var (
	NewTextCode     = newTextCode
	NewBrowserToken = newBrowserToken
)

// Seal is what every record and token goes through; here with nothing in it,
// so that what comes out begins with the nonce.
func Seal(k KeyRing) []byte { return seal(make([]byte, nonceSize), 0, k.all()[0].tokens) }

// Opened is what who has the keys finds in a record.
func Opened(k KeyRing, r Record) (string, error) {
	var c content
	err := k.decode(r, &c)
	return string(c), err
}

// content is what is sealed, as it is.
type content []byte

func (c *content) check() string { return "" }

func (c *content) walk(w *wire) {
	if w.reading {
		*c, w.left = content(w.left), ""
		return
	}
	w.buf = append(w.buf, *c...)
}
