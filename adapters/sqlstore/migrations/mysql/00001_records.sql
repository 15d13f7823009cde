-- +goose Up
-- The columns are binary because most collations of text ignore case and trailing spaces.
CREATE TABLE IF NOT EXISTS twofa_records (
	`key`   VARBINARY(512) NOT NULL PRIMARY KEY,
	version VARBINARY(32)  NOT NULL,
	data    MEDIUMBLOB     NOT NULL
) ENGINE = InnoDB;
