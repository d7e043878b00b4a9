-- Every call of a model is a row, in the same transaction as its turn: the one place that says what it used and cost.
-- Clustered by time, so that a report reads what it needs and new rows come last.

CREATE TABLE attempts (
    at               INTEGER NOT NULL,       -- when its turn began
    interaction      TEXT NOT NULL,
    n                INTEGER NOT NULL,
    tenant           TEXT NOT NULL,
    key              TEXT NOT NULL,
    agent            TEXT NOT NULL,
    tier             TEXT NOT NULL,
    target           TEXT NOT NULL,
    model            TEXT NOT NULL,
    started          INTEGER NOT NULL,
    latency          INTEGER NOT NULL,
    first_token      INTEGER,
    result           TEXT NOT NULL,
    is_estimate      INTEGER NOT NULL,       -- 1 when the provider did not say what it used
    input            INTEGER,                -- tokens; null when it used none
    output           INTEGER,
    cached_input     INTEGER,
    cache_write      INTEGER,
    cache_write_hour INTEGER,
    reasoning        INTEGER,
    prices           TEXT,                   -- the version that made the cost
    cost             INTEGER,                -- whole nano-dollars, rounded down; null when unpriced
    cost_rest        INTEGER NOT NULL,       -- and millionths of a nano-dollar
    PRIMARY KEY (at, interaction, n)
) STRICT, WITHOUT ROWID;

INSERT INTO attempts
SELECT i.created, i.id, a.value ->> '$.n', i.tenant, i.key, i.agent,
    a.value ->> '$.tier', a.value ->> '$.target', a.value ->> '$.model',
    a.value ->> '$.started_us', a.value ->> '$.latency_us', a.value ->> '$.first_token_us', a.value ->> '$.result',
    (a.value ->> '$.estimate') IS NOT NULL,
    coalesce(a.value ->> '$.usage.input', a.value ->> '$.estimate.input'),
    coalesce(a.value ->> '$.usage.output', a.value ->> '$.estimate.output'),
    coalesce(a.value ->> '$.usage.cached_input', a.value ->> '$.estimate.cached_input'),
    CASE WHEN coalesce(a.value ->> '$.usage.input', a.value ->> '$.estimate.input') IS NOT NULL
        THEN coalesce(a.value ->> '$.usage.cache_write_input', 0) END,
    CASE WHEN coalesce(a.value ->> '$.usage.input', a.value ->> '$.estimate.input') IS NOT NULL
        THEN coalesce(a.value ->> '$.usage.cache_write_hour_input', 0) END,
    CASE WHEN coalesce(a.value ->> '$.usage.input', a.value ->> '$.estimate.input') IS NOT NULL
        THEN coalesce(a.value ->> '$.usage.reasoning_output', 0) END,
    a.value ->> '$.prices', a.value ->> '$.cost_nanos', coalesce(a.value ->> '$.cost_rest', 0)
FROM interactions AS i, json_each(i.attempts) AS a
WHERE true
ON CONFLICT DO NOTHING;

-- A turn's own sums are those of its calls.
ALTER TABLE interactions DROP COLUMN attempts;
ALTER TABLE interactions DROP COLUMN cost;
ALTER TABLE interactions DROP COLUMN input_tokens;
ALTER TABLE interactions DROP COLUMN output_tokens;
ALTER TABLE interactions DROP COLUMN cached_input_tokens;
