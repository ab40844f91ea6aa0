-- Schema `stripe` as a newer sync engine lays it out: each object as one document, and columns generated from it.
CREATE SCHEMA stripe;
CREATE TABLE stripe.customers (
    _raw_data jsonb NOT NULL, _last_synced_at timestamptz, _updated_at timestamptz NOT NULL DEFAULT now(), _account_id text,
    id text GENERATED ALWAYS AS (_raw_data ->> 'id') STORED PRIMARY KEY,
    email text GENERATED ALWAYS AS (_raw_data ->> 'email') STORED, name text GENERATED ALWAYS AS (_raw_data ->> 'name') STORED,
    livemode boolean GENERATED ALWAYS AS ((_raw_data ->> 'livemode')::boolean) STORED
);
CREATE TABLE stripe.products (
    _raw_data jsonb NOT NULL, _last_synced_at timestamptz, _updated_at timestamptz NOT NULL DEFAULT now(), _account_id text,
    id text GENERATED ALWAYS AS (_raw_data ->> 'id') STORED PRIMARY KEY,
    metadata jsonb GENERATED ALWAYS AS (_raw_data -> 'metadata') STORED
);
CREATE TABLE stripe.prices (
    _raw_data jsonb NOT NULL, _last_synced_at timestamptz, _updated_at timestamptz NOT NULL DEFAULT now(), _account_id text,
    id text GENERATED ALWAYS AS (_raw_data ->> 'id') STORED PRIMARY KEY,
    product text GENERATED ALWAYS AS (_raw_data ->> 'product') STORED
);
CREATE TABLE stripe.subscriptions (
    _raw_data jsonb NOT NULL, _last_synced_at timestamptz, _updated_at timestamptz NOT NULL DEFAULT now(), _account_id text,
    id text GENERATED ALWAYS AS (_raw_data ->> 'id') STORED PRIMARY KEY,
    customer text GENERATED ALWAYS AS (_raw_data ->> 'customer') STORED,
    status text GENERATED ALWAYS AS (_raw_data ->> 'status') STORED,
    livemode boolean GENERATED ALWAYS AS ((_raw_data ->> 'livemode')::boolean) STORED
);
