UPDATE orders
SET status_id = (SELECT s.id FROM order_statuses AS s WHERE s.name = lower(trim(orders.status)))
WHERE status_id IS NULL;
