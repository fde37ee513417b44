-- How the old application's rows come by their tenant, while it knows nothing of tenants.
-- A site that was never seen before becomes a tenant.
CREATE FUNCTION tenant_of_site(wanted text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    found_id bigint;
BEGIN
    SELECT id INTO found_id FROM tenants WHERE site = wanted;
    IF found_id IS NULL THEN
        INSERT INTO tenants (site) VALUES (wanted)
        ON CONFLICT (site) DO UPDATE SET site = excluded.site
        RETURNING id INTO found_id;
    END IF;
    RETURN found_id;
END
$$;

-- Right before the customers are filled, too: then it goes by their site.
CREATE FUNCTION tenant_of_customer(wanted bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT coalesce(tenant_id, tenant_of_site(site)) FROM customers WHERE id = wanted);
END
$$;

CREATE FUNCTION fill_customer_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.tenant_id := tenant_of_site(NEW.site);
    RETURN NEW;
END
$$;

CREATE FUNCTION fill_order_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.tenant_id := tenant_of_customer(NEW.customer_id);
    RETURN NEW;
END
$$;

CREATE FUNCTION fill_item_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.tenant_id := (SELECT tenant_of_customer(customer_id) FROM orders WHERE id = NEW.order_id);
    RETURN NEW;
END
$$;

-- Whose rows a session may see and write, once the tables are isolated: SET shop.tenant = '3'.
CREATE FUNCTION current_tenant() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('shop.tenant', true), '')::bigint
$$;
