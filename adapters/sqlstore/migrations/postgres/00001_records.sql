-- +goose Up
-- Collation "C" compares bytes, and does not change with the system's locales.
-- The fill factor leaves room to update a record on its own page.
CREATE TABLE IF NOT EXISTS twofa_records (
	key     text COLLATE "C" NOT NULL PRIMARY KEY,
	version text COLLATE "C" NOT NULL,
	data    bytea            NOT NULL
) WITH (fillfactor = 80);
