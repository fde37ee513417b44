ALTER TABLE orders RENAME COLUMN legacy_total TO total;
ALTER TABLE orders RENAME COLUMN legacy_status TO status;
ALTER TABLE orders RENAME COLUMN legacy_street TO street;
ALTER TABLE orders RENAME COLUMN legacy_postcode TO postcode;
ALTER TABLE orders RENAME COLUMN legacy_city TO city;
UPDATE sync SET direction = 'new to old';
