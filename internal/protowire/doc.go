// Package protowire checks the encoding of records and tokens against the
// reference implementation of Protocol Buffers. It is a module of its own,
// because a program that imports the reference reads its own executable when it
// starts.
package protowire
