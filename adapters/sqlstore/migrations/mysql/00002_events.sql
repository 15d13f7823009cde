-- +goose Up
CREATE TABLE IF NOT EXISTS twofa_events (
	seq        BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY,
	id         VARBINARY(64)  NOT NULL,
	time       BIGINT         NOT NULL, -- Unix seconds
	type       VARBINARY(64)  NOT NULL,
	user_id    VARBINARY(512) NOT NULL,
	account_id VARBINARY(512) NOT NULL,
	data       MEDIUMBLOB     NOT NULL, -- the whole event as JSON in UTF-8
	UNIQUE KEY twofa_events_id (id),
	KEY twofa_events_time (time, seq),
	KEY twofa_events_user (user_id, time, seq),
	KEY twofa_events_account (account_id, time, seq)
) ENGINE = InnoDB;
