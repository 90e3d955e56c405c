-- Webhooks outlive their repository until they have told of its end. `retired` is when it went.
ALTER TABLE webhooks ADD COLUMN retired BIGINT;
