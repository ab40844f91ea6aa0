-- The shared store: schema nightdesk, beside the product's tables and never touching them. Applied by `nightdesk migrate` as an
-- administrator, who then owns it; the console's role gets no more than `nightdesk migrate` grants at the end.

-- Records of every console's local journal, in one chain. Append-only for everybody: nobody but the owner can even insert.
CREATE TABLE nightdesk.audit (
  seq         bigint      PRIMARY KEY CHECK (seq > 0),                    -- gapless: assigned under the head's lock
  at          timestamptz NOT NULL,                                       -- when it was shipped; the record says when it happened
  db_role     name        NOT NULL,                                       -- session_user, as PostgreSQL authenticated it
  environment text        NOT NULL,
  operator    text        NOT NULL,
  chain       uuid        NOT NULL,                                       -- the local journal it comes from
  local_seq   bigint      NOT NULL CHECK (local_seq > 0),
  record      text        NOT NULL CHECK (octet_length(record) <= 65536), -- the local line, byte for byte
  prev_hash   bytea       NOT NULL CHECK (octet_length(prev_hash) = 32),
  hash        bytea       NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  UNIQUE (environment, operator, chain, local_seq)
);

CREATE TABLE nightdesk.audit_head (
  one  boolean PRIMARY KEY DEFAULT true CHECK (one),
  seq  bigint  NOT NULL,
  hash bytea   NOT NULL
);
INSERT INTO nightdesk.audit_head (seq, hash) VALUES (0, sha256(convert_to('nightdesk audit v1', 'UTF8')));

-- Every field is of fixed width or length-prefixed, so that no two different rows serialise alike.
CREATE FUNCTION nightdesk.audit_digest(prev bytea, seq bigint, at timestamptz, db_role name, record text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog AS $$
  SELECT sha256(prev || int8send(seq) || int8send((extract(epoch FROM at) * 1000000)::bigint)
             || int4send(octet_length(db_role::text)) || convert_to(db_role::text, 'UTF8')
             || int4send(octet_length(record)) || convert_to(record, 'UTF8'))
$$;

-- Ships one record. The same record again changes nothing and returns its number; another one under the same number is refused.
CREATE FUNCTION nightdesk.audit_append(p_record text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  body    jsonb := p_record::jsonb;
  head    nightdesk.audit_head;
  fresh   nightdesk.audit;
  present nightdesk.audit;
BEGIN
  SELECT * INTO STRICT head FROM nightdesk.audit_head FOR UPDATE;         -- serialises writers until commit
  SELECT * INTO present FROM nightdesk.audit a
   WHERE a.environment = body->>'environment' AND a.operator = body->>'operator'
     AND a.chain = (body->>'chain')::uuid AND a.local_seq = (body->>'seq')::bigint;
  IF FOUND THEN
    IF present.record <> p_record THEN
      RAISE EXCEPTION 'record % of this journal is in the store already, and says something else', present.local_seq
        USING ERRCODE = 'unique_violation';
    END IF;
    RETURN present.seq;
  END IF;
  fresh.seq         := head.seq + 1;
  fresh.at          := clock_timestamp();
  fresh.db_role     := session_user;
  fresh.environment := body->>'environment';
  fresh.operator    := body->>'operator';
  fresh.chain       := (body->>'chain')::uuid;
  fresh.local_seq   := (body->>'seq')::bigint;
  fresh.record      := p_record;
  fresh.prev_hash   := head.hash;
  fresh.hash        := nightdesk.audit_digest(fresh.prev_hash, fresh.seq, fresh.at, fresh.db_role, fresh.record);
  INSERT INTO nightdesk.audit SELECT fresh.*;
  UPDATE nightdesk.audit_head SET seq = fresh.seq, hash = fresh.hash;
  RETURN fresh.seq;
END $$;

CREATE FUNCTION nightdesk.audit_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'nightdesk.audit is append-only (% refused)', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER no_change   BEFORE UPDATE OR DELETE   ON nightdesk.audit      FOR EACH ROW       EXECUTE FUNCTION nightdesk.audit_immutable();
CREATE TRIGGER no_truncate BEFORE TRUNCATE           ON nightdesk.audit      FOR EACH STATEMENT EXECUTE FUNCTION nightdesk.audit_immutable();
CREATE TRIGGER no_truncate BEFORE TRUNCATE OR DELETE ON nightdesk.audit_head FOR EACH STATEMENT EXECUTE FUNCTION nightdesk.audit_immutable();
-- Also under session_replication_role = replica.
ALTER TABLE nightdesk.audit      ENABLE ALWAYS TRIGGER no_change;
ALTER TABLE nightdesk.audit      ENABLE ALWAYS TRIGGER no_truncate;
ALTER TABLE nightdesk.audit_head ENABLE ALWAYS TRIGGER no_truncate;

-- One open run per subject, across consoles. A console that dies lets its lease run out.
CREATE TABLE nightdesk.lease (
  environment text        NOT NULL,
  subject     text        NOT NULL,                                       -- keyed hash, as in the records
  run         uuid        NOT NULL,
  operator    text        NOT NULL,
  until       timestamptz NOT NULL,
  PRIMARY KEY (environment, subject)
);

REVOKE ALL ON ALL TABLES IN SCHEMA nightdesk FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA nightdesk FROM PUBLIC;
