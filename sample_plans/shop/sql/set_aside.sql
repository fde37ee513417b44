-- The old columns stay, under names nobody uses by mistake. The triggers follow the new names by themselves.
UPDATE sync SET direction = 'off';
ALTER TABLE orders RENAME COLUMN total TO legacy_total;
ALTER TABLE orders RENAME COLUMN status TO legacy_status;
ALTER TABLE orders RENAME COLUMN street TO legacy_street;
ALTER TABLE orders RENAME COLUMN postcode TO legacy_postcode;
ALTER TABLE orders RENAME COLUMN city TO legacy_city;
