-- Nearly all turns are answered: one that was is found by its time, and its row is written without this index.
DROP INDEX interactions_by_outcome;
CREATE INDEX interactions_by_outcome ON interactions (outcome, created, id) WHERE outcome <> 'answered';
