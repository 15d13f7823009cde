// Package model tests package twofa against a simple model of its rules: it
// makes random calls and compares each answer with the model's. TestModel makes
// them to equal processes. TestFleet makes them to processes of three releases,
// with different configurations, over one store.
package model
