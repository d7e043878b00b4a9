-- From when on the budgets of a key, a tenant or the server count that an operator made to begin anew.

CREATE TABLE budget_resets (
    level TEXT NOT NULL,                     -- key, tenant or server
    id    TEXT NOT NULL,                     -- of the key or tenant; empty for the server
    at    INTEGER NOT NULL,
    PRIMARY KEY (level, id)
) STRICT, WITHOUT ROWID;
