-- A replay goes from the newest delivery to the oldest: inbox.ReplayCursor. One that runs begins anew.
ALTER TABLE replay RENAME COLUMN after_id TO before_id;
UPDATE replay SET before_id = 9223372036854775807, through_id = 0;
