-- +goose Up
-- The primary key begins with the time, and no other key is unique, so that the table can be partitioned by time.
CREATE TABLE IF NOT EXISTS twofa_events (
	seq           bigint           GENERATED ALWAYS AS IDENTITY, -- the order within a second
	id            text COLLATE "C" NOT NULL,
	time          bigint           NOT NULL, -- Unix seconds
	type          text COLLATE "C" NOT NULL,
	user_id       text COLLATE "C" NOT NULL,
	account_id    text COLLATE "C" NOT NULL,
	actor_id      text COLLATE "C",          -- NULL if the event has none
	number        bigint           NOT NULL, -- the number of the event among those of its record
	mac           bytea            NOT NULL, -- authenticates the event and those before
	claimed_until bigint,                    -- NULL if no notice is to be sent, otherwise Unix seconds until which a server has claimed it
	data          text             NOT NULL, -- the event without its MAC as JSON
	PRIMARY KEY (time, seq)
);
CREATE INDEX IF NOT EXISTS twofa_events_user ON twofa_events (user_id, time, seq);
CREATE INDEX IF NOT EXISTS twofa_events_account ON twofa_events (account_id, time, seq);
CREATE INDEX IF NOT EXISTS twofa_events_type ON twofa_events (account_id, type, time, seq);
CREATE INDEX IF NOT EXISTS twofa_events_actor ON twofa_events (actor_id, time, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS twofa_events_notice ON twofa_events (claimed_until, time, seq) WHERE claimed_until IS NOT NULL;
