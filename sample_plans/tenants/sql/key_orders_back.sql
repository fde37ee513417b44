CREATE UNIQUE INDEX CONCURRENTLY orders_tenant_key_next ON orders (tenant_id, id);
ALTER TABLE orders DROP CONSTRAINT orders_tenant_key;
ALTER INDEX orders_tenant_key_next RENAME TO orders_tenant_key;
