-- Schema `stripe` as a sync engine lays it out: a column for each of Stripe's fields. Only the tables and fields that somebody reads here.
CREATE SCHEMA stripe;
CREATE TYPE stripe.subscription_status AS ENUM
    ('trialing', 'active', 'canceled', 'incomplete', 'incomplete_expired', 'past_due', 'unpaid', 'paused');
CREATE TABLE stripe.customers (
    id text PRIMARY KEY, object text, email text, name text, metadata jsonb, created integer, livemode boolean,
    deleted boolean NOT NULL DEFAULT false, updated_at timestamptz NOT NULL DEFAULT now(), last_synced_at timestamptz
);
CREATE TABLE stripe.products (
    id text PRIMARY KEY, object text, active boolean, name text, metadata jsonb, created integer, livemode boolean,
    updated_at timestamptz NOT NULL DEFAULT now(), last_synced_at timestamptz
);
CREATE TABLE stripe.prices (
    id text PRIMARY KEY, object text, active boolean, currency text, metadata jsonb, recurring jsonb, unit_amount integer, created integer,
    livemode boolean, lookup_key text, product text, updated_at timestamptz NOT NULL DEFAULT now(), last_synced_at timestamptz
);
CREATE TABLE stripe.subscriptions (
    id text PRIMARY KEY, object text, customer text, status stripe.subscription_status, items jsonb, metadata jsonb, created integer,
    cancel_at integer, cancel_at_period_end boolean, canceled_at integer, ended_at integer, trial_end jsonb, pause_collection jsonb,
    schedule text, latest_invoice text, livemode boolean, current_period_start integer, current_period_end integer,
    updated_at timestamptz NOT NULL DEFAULT now(), last_synced_at timestamptz
);
