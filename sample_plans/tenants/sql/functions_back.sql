DROP FUNCTION current_tenant();
DROP FUNCTION fill_item_tenant();
DROP FUNCTION fill_order_tenant();
DROP FUNCTION fill_customer_tenant();
DROP FUNCTION tenant_of_customer(bigint);
DROP FUNCTION tenant_of_site(text);
