-- +goose Up
CREATE TABLE IF NOT EXISTS twofa_events (
	seq        INTEGER PRIMARY KEY,
	id         TEXT    NOT NULL UNIQUE,
	time       INTEGER NOT NULL, -- Unix seconds
	type       TEXT    NOT NULL,
	user_id    TEXT    NOT NULL,
	account_id TEXT    NOT NULL,
	data       TEXT    NOT NULL -- the whole event as JSON
);
CREATE INDEX IF NOT EXISTS twofa_events_time ON twofa_events (time, seq);
CREATE INDEX IF NOT EXISTS twofa_events_user ON twofa_events (user_id, time, seq);
CREATE INDEX IF NOT EXISTS twofa_events_account ON twofa_events (account_id, time, seq);
