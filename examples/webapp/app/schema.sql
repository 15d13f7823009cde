-- Runs on SQLite and PostgreSQL alike. Times are Unix seconds.
CREATE TABLE IF NOT EXISTS accounts (
	id   TEXT PRIMARY KEY,
	name TEXT NOT NULL,
	sso  INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS users (
	id       TEXT PRIMARY KEY,
	email    TEXT NOT NULL UNIQUE,
	name     TEXT NOT NULL,
	password TEXT NOT NULL DEFAULT '',
	stamp    TEXT NOT NULL -- another one whenever the password changes
);
CREATE TABLE IF NOT EXISTS members (
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	role       TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
	since      BIGINT NOT NULL,
	PRIMARY KEY (account_id, user_id)
);
CREATE TABLE IF NOT EXISTS contacts (
	id         TEXT PRIMARY KEY,
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	name       TEXT NOT NULL,
	company    TEXT NOT NULL,
	email      TEXT NOT NULL,
	phone      TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS contacts_by_account ON contacts (account_id, name);
-- Who is signed in. A browser's cookie leads here by way of web_sessions, an
-- API client's bearer token by its hash. Without its row neither is worth anything.
CREATE TABLE IF NOT EXISTS signins (
	id         TEXT PRIMARY KEY,
	bearer     TEXT UNIQUE,
	user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	twofa      TEXT NOT NULL, -- what has been proven, sealed
	door       TEXT NOT NULL,
	ip         TEXT NOT NULL,
	agent      TEXT NOT NULL,
	created    BIGINT NOT NULL,
	seen       BIGINT NOT NULL,
	expires    BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS signins_by_user ON signins (user_id);
-- Reset links, invitations and codes of the stand-in identity provider: each
-- is spent by deleting its row.
CREATE TABLE IF NOT EXISTS links (
	hash       TEXT PRIMARY KEY,
	kind       TEXT NOT NULL,
	email      TEXT NOT NULL,
	account_id TEXT NOT NULL,
	role       TEXT NOT NULL,
	expires    BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS web_sessions (
	token  TEXT PRIMARY KEY,
	data   TEXT NOT NULL,
	expiry BIGINT NOT NULL
);
