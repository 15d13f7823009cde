-- +goose Up
-- Binary columns: every collation for text ignores trailing spaces, most ignore case.
CREATE TABLE IF NOT EXISTS twofa_records (
	`key`   VARBINARY(512) NOT NULL PRIMARY KEY,
	version VARBINARY(32)  NOT NULL,
	data    MEDIUMBLOB     NOT NULL
) ENGINE = InnoDB;
