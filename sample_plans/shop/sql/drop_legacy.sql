-- From here there is no way back: the old text is gone, and with it what only the text could tell.
DROP TRIGGER orders_forward_insert;
DROP TRIGGER orders_forward_update;
DROP TRIGGER orders_backward_insert;
DROP TRIGGER orders_backward_update;
DROP TABLE sync;
ALTER TABLE orders DROP COLUMN legacy_total;
ALTER TABLE orders DROP COLUMN legacy_status;
ALTER TABLE orders DROP COLUMN legacy_street;
ALTER TABLE orders DROP COLUMN legacy_postcode;
ALTER TABLE orders DROP COLUMN legacy_city;
