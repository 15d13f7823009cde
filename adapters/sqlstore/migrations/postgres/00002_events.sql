-- +goose Up
CREATE TABLE IF NOT EXISTS twofa_events (
	seq        bigint GENERATED ALWAYS AS IDENTITY,
	id         text COLLATE "C" NOT NULL UNIQUE,
	time       bigint           NOT NULL, -- Unix seconds
	type       text COLLATE "C" NOT NULL,
	user_id    text COLLATE "C" NOT NULL,
	account_id text COLLATE "C" NOT NULL,
	data       text             NOT NULL, -- the whole event as JSON
	PRIMARY KEY (time, seq)
);
CREATE INDEX IF NOT EXISTS twofa_events_user ON twofa_events (user_id, time, seq);
CREATE INDEX IF NOT EXISTS twofa_events_account ON twofa_events (account_id, time, seq);
