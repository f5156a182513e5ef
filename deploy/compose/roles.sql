-- The roles of compose.yaml, for trying out. None is a superuser. The owner creates the schema, and each program may
-- call only its own steps (grants.sql). The image of PostgreSQL runs this once, in the database "app".
CREATE ROLE mailroom_owner LOGIN PASSWORD 'only-for-trying-out';
CREATE ROLE mailroom_collector LOGIN PASSWORD 'only-for-trying-out';
CREATE ROLE mailroom_sender LOGIN PASSWORD 'only-for-trying-out';
ALTER DATABASE app OWNER TO mailroom_owner;
