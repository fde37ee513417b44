CREATE UNIQUE INDEX CONCURRENTLY customers_tenant_key_next ON customers (tenant_id, id);
ALTER TABLE customers DROP CONSTRAINT customers_tenant_key;
ALTER INDEX customers_tenant_key_next RENAME TO customers_tenant_key;
