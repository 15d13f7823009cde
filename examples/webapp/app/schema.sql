-- For SQLite and PostgreSQL. Times are in Unix seconds.
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
	stamp    TEXT NOT NULL, -- security stamp: random, replaced when the password changes
	language TEXT NOT NULL DEFAULT '', -- BCP 47 tag that the user has chosen
	disabled INTEGER NOT NULL DEFAULT 0 -- 1 if an admin has deactivated the user
);
CREATE TABLE IF NOT EXISTS members (
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	role       TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
	since      BIGINT NOT NULL,
	PRIMARY KEY (account_id, user_id)
);
-- When former members first joined. Joining again must not renew the time that a
-- new member has to set up a second factor.
CREATE TABLE IF NOT EXISTS former_members (
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
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
-- Sign-ins. A browser's cookie refers to one through web_sessions, and the bearer
-- token of an API client by its hash. Deleting the row ends the sign-in.
CREATE TABLE IF NOT EXISTS signins (
	id         TEXT PRIMARY KEY,
	bearer     TEXT UNIQUE,
	user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	twofa      TEXT NOT NULL, -- session of package twofa, encrypted
	door       TEXT NOT NULL, -- how the user signed in, for the list of sessions
	ip         TEXT NOT NULL,
	agent      TEXT NOT NULL,
	created    BIGINT NOT NULL,
	seen       BIGINT NOT NULL,
	expires    BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS signins_by_user ON signins (user_id);
-- Reset links, invitations and codes of the fake identity providers. Deleting the
-- row uses one up.
CREATE TABLE IF NOT EXISTS links (
	hash       TEXT PRIMARY KEY,
	kind       TEXT NOT NULL,
	email      TEXT NOT NULL,
	account_id TEXT NOT NULL,
	role       TEXT NOT NULL,
	expires    BIGINT NOT NULL,
	inviter    TEXT NOT NULL DEFAULT '' -- ID of the member who sent the invitation
);
CREATE TABLE IF NOT EXISTS web_sessions (
	token  TEXT PRIMARY KEY,
	data   TEXT NOT NULL,
	expiry BIGINT NOT NULL
);
