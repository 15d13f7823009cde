package twofa

// NewTextCode and NewBrowserToken are where texted codes and the tokens of
// links and browsers come from.
var (
	NewTextCode     = newTextCode
	NewBrowserToken = newBrowserToken
)

// Seal is what every stored secret and every token goes through.
func Seal(k Keys) string { return k.seal([]byte("plain"), "test") }
