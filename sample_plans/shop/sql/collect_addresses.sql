-- Orders placed since the triggers went in have brought their address along already.
INSERT OR IGNORE INTO addresses (customer_id, street, postcode, city)
SELECT DISTINCT customer_id, street, postcode, city FROM orders ORDER BY customer_id;
