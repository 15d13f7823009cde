// Package model tests package twofa against a simple model of its rules: it
// makes random calls and compares each answer with the model's.
package model
