-- Does every site have the same customers, orders, items and money as the tenant it became? One statement, so
-- one snapshot: orders that come in meanwhile are in both figures or in neither.
DO $compare$
DECLARE
    different text;
BEGIN
    WITH by_site AS (
        SELECT c.site, count(DISTINCT c.id) AS customers, count(DISTINCT o.id) AS orders, count(i.id) AS items,
               sum(i.quantity * i.price) AS money
        FROM customers AS c
        LEFT JOIN orders AS o ON o.customer_id = c.id
        LEFT JOIN order_items AS i ON i.order_id = o.id
        GROUP BY c.site
    ), by_tenant AS (
        SELECT t.site,
               (SELECT count(*) FROM customers AS c WHERE c.tenant_id = t.id) AS customers,
               (SELECT count(*) FROM orders AS o WHERE o.tenant_id = t.id) AS orders,
               count(i.id) AS items,
               sum(i.quantity * i.price) AS money
        FROM tenants AS t
        LEFT JOIN order_items AS i ON i.tenant_id = t.id
        GROUP BY t.id
    )
    SELECT string_agg(site, ', ' ORDER BY site) INTO different
    FROM by_site AS s
    FULL JOIN by_tenant AS t USING (site)
    WHERE (s.customers, s.orders, s.items, s.money) IS DISTINCT FROM (t.customers, t.orders, t.items, t.money);
    IF different IS NOT NULL THEN
        RAISE EXCEPTION 'sites and tenants differ: %', different;
    END IF;
END
$compare$;
