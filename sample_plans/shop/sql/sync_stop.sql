DROP TRIGGER orders_forward_insert;
DROP TRIGGER orders_forward_update;
DROP TRIGGER orders_backward_insert;
DROP TRIGGER orders_backward_update;
DROP TABLE sync;
