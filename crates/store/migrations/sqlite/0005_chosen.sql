-- Why a call's target was chosen; null for calls from before that was kept.

ALTER TABLE attempts ADD COLUMN chosen TEXT;
