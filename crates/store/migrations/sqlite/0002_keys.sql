-- Who asked, and the keys of those who may.

ALTER TABLE interactions ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
ALTER TABLE interactions ADD COLUMN key TEXT NOT NULL DEFAULT 'open';
ALTER TABLE sessions ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
ALTER TABLE feedback ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
CREATE INDEX interactions_by_tenant ON interactions (tenant, created, id);
CREATE INDEX feedback_by_tenant ON feedback (tenant, at, id);

-- A key's public part and the HMAC of the whole under the server's pepper; the key itself is nowhere.
CREATE TABLE keys (
    position   INTEGER PRIMARY KEY,          -- the order in which they were made
    id         TEXT NOT NULL UNIQUE,
    hash       BLOB NOT NULL,
    name       TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    role       TEXT NOT NULL,
    grants     TEXT NOT NULL,                -- JSON
    created    INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires    INTEGER,
    revoked    INTEGER,
    replaces   TEXT,
    limits     TEXT,                         -- JSON
    budget     TEXT                          -- JSON
) STRICT;

-- How often keys were changed: what other processes look at.
CREATE TABLE keys_head (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    head INTEGER NOT NULL
) STRICT;
INSERT INTO keys_head (id, head) VALUES (1, 0);
