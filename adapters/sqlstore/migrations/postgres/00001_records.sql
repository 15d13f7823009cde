-- +goose Up
-- Collation "C" compares bytes and does not depend on the locales of the system.
-- The fill factor leaves room on each page, so an updated record can stay on its page.
CREATE TABLE IF NOT EXISTS twofa_records (
	key     text COLLATE "C" NOT NULL PRIMARY KEY,
	version text COLLATE "C" NOT NULL,
	data    bytea            NOT NULL
) WITH (fillfactor = 80);
