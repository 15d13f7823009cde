package twofa

// NewTextCode and NewBrowserToken are where texted codes and the tokens of
// links and browsers come from.
var (
	NewTextCode     = newTextCode
	NewBrowserToken = newBrowserToken
)
