-- What the agent in agents/orders.ts works on.
CREATE TABLE items (name text PRIMARY KEY, price int NOT NULL, stock int NOT NULL);
INSERT INTO items VALUES ('bread', 3, 1000000), ('salt', 1, 1000000), ('wine', 9, 1000000);

-- The key is what makes an order unique, however often its task is tried.
CREATE TABLE orders (key text PRIMARY KEY, item text NOT NULL REFERENCES items, total int NOT NULL);
