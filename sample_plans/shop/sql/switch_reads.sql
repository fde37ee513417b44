DROP VIEW daily_sales;
CREATE VIEW daily_sales AS
SELECT date(placed_at) AS day,
       count(*) AS orders,
       sum(total_cents) / 100.0 AS revenue
FROM orders
WHERE status_id <> (SELECT id FROM order_statuses WHERE name = 'cancelled')
GROUP BY day;
