// Package integration tests the adapters with real databases, mail servers and
// a mock of Twilio's API. It is a separate module that is never tagged, so that
// its dependencies stay out of the go.sum of the library's users.
package integration
