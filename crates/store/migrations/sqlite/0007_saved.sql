-- What an answer that was given again had cost the first time.

ALTER TABLE attempts ADD COLUMN saved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN saved_rest INTEGER NOT NULL DEFAULT 0;
