// Package twofa gives an existing login a second factor.
package twofa
