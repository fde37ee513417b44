DROP VIEW daily_sales;
CREATE VIEW daily_sales AS
SELECT date(placed_at) AS day,
       count(*) AS orders,
       sum(CAST(round(replace(total, ',', '') * 100) AS INTEGER)) / 100.0 AS revenue
FROM orders
WHERE lower(trim(status)) <> 'cancelled'
GROUP BY day;
