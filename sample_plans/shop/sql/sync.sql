-- Keeps old and new columns of orders saying the same while both are in use.
-- `sync` holds one row: which side the shop writes to, so which way the triggers copy.
CREATE TABLE sync (direction TEXT NOT NULL CHECK (direction IN ('old to new', 'new to old', 'off')));
INSERT INTO sync VALUES ('old to new');

CREATE TRIGGER orders_forward_insert AFTER INSERT ON orders
WHEN (SELECT direction FROM sync) = 'old to new'
BEGIN
    INSERT OR IGNORE INTO addresses (customer_id, street, postcode, city)
    VALUES (NEW.customer_id, NEW.street, NEW.postcode, NEW.city);
    UPDATE orders
    SET total_cents = CAST(round(replace(NEW.total, ',', '') * 100) AS INTEGER),
        status_id = (SELECT s.id FROM order_statuses AS s WHERE s.name = lower(trim(NEW.status))),
        address_id = (
            SELECT a.id FROM addresses AS a
            WHERE a.customer_id = NEW.customer_id AND a.street = NEW.street
              AND a.postcode = NEW.postcode AND a.city = NEW.city
        )
    WHERE id = NEW.id;
END;

CREATE TRIGGER orders_forward_update AFTER UPDATE OF total, status, street, postcode, city ON orders
WHEN (SELECT direction FROM sync) = 'old to new'
BEGIN
    INSERT OR IGNORE INTO addresses (customer_id, street, postcode, city)
    VALUES (NEW.customer_id, NEW.street, NEW.postcode, NEW.city);
    UPDATE orders
    SET total_cents = CAST(round(replace(NEW.total, ',', '') * 100) AS INTEGER),
        status_id = (SELECT s.id FROM order_statuses AS s WHERE s.name = lower(trim(NEW.status))),
        address_id = (
            SELECT a.id FROM addresses AS a
            WHERE a.customer_id = NEW.customer_id AND a.street = NEW.street
              AND a.postcode = NEW.postcode AND a.city = NEW.city
        )
    WHERE id = NEW.id;
END;

CREATE TRIGGER orders_backward_insert AFTER INSERT ON orders
WHEN (SELECT direction FROM sync) = 'new to old'
BEGIN
    UPDATE orders
    SET total = printf('%.2f', NEW.total_cents / 100.0),
        status = (SELECT s.name FROM order_statuses AS s WHERE s.id = NEW.status_id),
        (street, postcode, city) = (
            SELECT a.street, a.postcode, a.city FROM addresses AS a WHERE a.id = NEW.address_id
        )
    WHERE id = NEW.id;
END;

CREATE TRIGGER orders_backward_update AFTER UPDATE OF total_cents, status_id, address_id ON orders
WHEN (SELECT direction FROM sync) = 'new to old'
BEGIN
    UPDATE orders
    SET total = printf('%.2f', NEW.total_cents / 100.0),
        status = (SELECT s.name FROM order_statuses AS s WHERE s.id = NEW.status_id),
        (street, postcode, city) = (
            SELECT a.street, a.postcode, a.city FROM addresses AS a WHERE a.id = NEW.address_id
        )
    WHERE id = NEW.id;
END;
