-- +goose Up
-- The primary key begins with the time, and no other key is unique, so that the table can be partitioned by time.
-- AUTO_INCREMENT needs a key that begins with seq.
CREATE TABLE IF NOT EXISTS twofa_events (
	seq           BIGINT         NOT NULL AUTO_INCREMENT, -- the order within a second
	id            VARBINARY(64)  NOT NULL,
	time          BIGINT         NOT NULL, -- Unix seconds
	type          VARBINARY(64)  NOT NULL,
	user_id       VARBINARY(512) NOT NULL,
	account_id    VARBINARY(512) NOT NULL,
	actor_id      VARBINARY(512) NULL,     -- NULL if the event has none
	number        BIGINT         NOT NULL, -- the number of the event among those of its record
	mac           VARBINARY(255) NOT NULL, -- authenticates the event and those before
	claimed_until BIGINT         NULL,     -- NULL if no notice is to be sent, otherwise Unix seconds until which a server has claimed it
	data          MEDIUMBLOB     NOT NULL, -- the event without its MAC as JSON in UTF-8
	PRIMARY KEY (time, seq),
	KEY twofa_events_seq (seq),
	KEY twofa_events_user (user_id, time, seq),
	KEY twofa_events_account (account_id, time, seq),
	KEY twofa_events_type (account_id, type, time, seq),
	KEY twofa_events_actor (actor_id, time, seq),
	KEY twofa_events_notice (claimed_until, time, seq)
) ENGINE = InnoDB;
