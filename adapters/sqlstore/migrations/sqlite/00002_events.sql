-- +goose Up
-- SQLite numbers the rows only if seq alone is the primary key. It has no partitions.
CREATE TABLE IF NOT EXISTS twofa_events (
	seq           INTEGER PRIMARY KEY, -- the order within a second
	id            TEXT    NOT NULL,
	time          INTEGER NOT NULL, -- Unix seconds
	type          TEXT    NOT NULL,
	user_id       TEXT    NOT NULL,
	account_id    TEXT    NOT NULL,
	actor_id      TEXT,             -- NULL if the event has none
	number        INTEGER NOT NULL, -- the number of the event among those of its record
	mac           BLOB    NOT NULL, -- authenticates the event and those before
	claimed_until INTEGER,          -- NULL if no notice is to be sent, otherwise Unix seconds until which a server has claimed it
	data          TEXT    NOT NULL  -- the event without its MAC as JSON
);
CREATE UNIQUE INDEX IF NOT EXISTS twofa_events_time ON twofa_events (time, seq);
CREATE INDEX IF NOT EXISTS twofa_events_user ON twofa_events (user_id, time, seq);
CREATE INDEX IF NOT EXISTS twofa_events_account ON twofa_events (account_id, time, seq);
CREATE INDEX IF NOT EXISTS twofa_events_type ON twofa_events (account_id, type, time, seq);
CREATE INDEX IF NOT EXISTS twofa_events_actor ON twofa_events (actor_id, time, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS twofa_events_notice ON twofa_events (claimed_until, time, seq) WHERE claimed_until IS NOT NULL;
