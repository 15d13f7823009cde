-- +goose Up
CREATE TABLE IF NOT EXISTS twofa_records (
	key     TEXT NOT NULL PRIMARY KEY,
	version TEXT NOT NULL,
	data    BLOB NOT NULL
);
