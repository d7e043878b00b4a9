-- Turns, conversations, feedback, cases, breakers and knowledge.
-- Times and durations are microseconds; keys are text; lists that are only read whole are JSON.

-- One finished turn is one row. Only question, response, metadata, citation_texts and quality_reasons hold
-- what people, callers or models wrote (or was quoted to them); retention nulls these and keeps the rest.
CREATE TABLE interactions (
    id                  TEXT NOT NULL PRIMARY KEY,
    session             TEXT,
    user_id             TEXT,
    door                TEXT NOT NULL,
    agent               TEXT NOT NULL,
    agent_version       TEXT NOT NULL,
    snapshot            TEXT NOT NULL,
    created             INTEGER NOT NULL,
    latency             INTEGER NOT NULL,
    question            TEXT,
    question_hash       TEXT,
    response            TEXT,
    response_hash       TEXT NOT NULL,
    outcome             TEXT NOT NULL,
    tier                TEXT,
    model_used          TEXT,
    attempt             INTEGER NOT NULL,
    intent              TEXT,
    guardrail_action    TEXT NOT NULL,
    findings            TEXT NOT NULL,
    quality             TEXT,
    quality_reasons     TEXT,
    citations           TEXT NOT NULL,
    citation_texts      TEXT,
    input_tokens        INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cost                INTEGER,             -- nano-dollars; null when unpriced
    attempts            TEXT NOT NULL,
    steps               TEXT NOT NULL,
    case_id             TEXT,
    metadata            TEXT,
    retention           TEXT NOT NULL,
    retention_ttl       INTEGER,
    expires             INTEGER              -- when the texts are dropped; null when there is nothing to drop
) STRICT;
CREATE INDEX interactions_by_time ON interactions (created, id);
CREATE INDEX interactions_by_outcome ON interactions (outcome, created, id);
CREATE INDEX interactions_by_session ON interactions (session, created, id) WHERE session IS NOT NULL;
CREATE INDEX interactions_by_expiry ON interactions (expires) WHERE expires IS NOT NULL;

CREATE TABLE sessions (
    id             TEXT NOT NULL PRIMARY KEY,
    user_id        TEXT,
    created        INTEGER NOT NULL,
    updated        INTEGER NOT NULL,
    expires        INTEGER NOT NULL,
    turn_count     INTEGER NOT NULL,
    clarifications INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_expiry ON sessions (expires);

CREATE TABLE messages (
    position    INTEGER PRIMARY KEY,         -- the order in which they were written
    session     TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    role        TEXT NOT NULL,
    text        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    interaction TEXT NOT NULL
) STRICT;
CREATE INDEX messages_by_session ON messages (session, position);

-- Which interaction answered a caller's own message id.
CREATE TABLE message_ids (
    session     TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    message_id  TEXT NOT NULL,
    interaction TEXT NOT NULL,
    PRIMARY KEY (session, message_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE feedback (
    id          TEXT NOT NULL PRIMARY KEY,
    interaction TEXT NOT NULL REFERENCES interactions (id),
    session     TEXT,
    kind        TEXT NOT NULL,
    rating      INTEGER,
    thumb       TEXT,
    comments    TEXT,
    signal      TEXT,
    metadata    TEXT,
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX feedback_by_time ON feedback (at, id);
CREATE INDEX feedback_by_session ON feedback (session, at, id) WHERE session IS NOT NULL;
CREATE INDEX feedback_by_interaction ON feedback (interaction, at, id);

CREATE TABLE cases (
    id          TEXT NOT NULL PRIMARY KEY,
    interaction TEXT NOT NULL REFERENCES interactions (id),
    session     TEXT,
    opened      INTEGER NOT NULL,
    state       TEXT NOT NULL
) STRICT;
CREATE INDEX cases_by_state ON cases (state, opened, id);
CREATE INDEX cases_by_interaction ON cases (interaction);

CREATE TABLE breakers (
    target     TEXT NOT NULL PRIMARY KEY,
    failures   INTEGER NOT NULL,
    opens      INTEGER NOT NULL,
    open_until INTEGER,
    at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
    collection TEXT NOT NULL,
    id         TEXT NOT NULL,
    title      TEXT NOT NULL,
    source     TEXT NOT NULL,
    as_of      TEXT NOT NULL,
    version    TEXT NOT NULL,
    text       TEXT NOT NULL,
    PRIMARY KEY (collection, id)
) STRICT;

CREATE TABLE chunks (
    collection  TEXT NOT NULL,
    document    TEXT NOT NULL,
    chunk_index INTEGER NOT NULL,
    heading     TEXT NOT NULL,
    start       INTEGER NOT NULL,
    "end"       INTEGER NOT NULL,
    text        TEXT NOT NULL,
    hash        TEXT NOT NULL,
    PRIMARY KEY (collection, document, chunk_index),
    FOREIGN KEY (collection, document) REFERENCES documents (collection, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX chunks_by_hash ON chunks (hash);

-- Vectors outlive the chunks they were made for, so that what did not change is not embedded again.
CREATE TABLE vectors (
    hash   TEXT NOT NULL,
    model  TEXT NOT NULL,
    vector BLOB NOT NULL,                    -- 32-bit floats, little endian
    PRIMARY KEY (hash, model)
) STRICT;

-- One row that health checks write, to prove that writing works.
CREATE TABLE probes (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    count INTEGER NOT NULL
) STRICT;
