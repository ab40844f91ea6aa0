-- The desk: what operators say about causes and drift, for all consoles of an environment. The last word about a thing counts; earlier
-- ones stay, with who and when.

CREATE TABLE nightdesk.desk (
  seq         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  db_role     name        NOT NULL DEFAULT session_user,                  -- as PostgreSQL authenticated it
  environment text        NOT NULL,
  operator    text        NOT NULL,
  write       jsonb       CHECK (octet_length(write::text) <= 8192)       -- NULL once removed: it may name a customer
);
CREATE INDEX desk_environment ON nightdesk.desk (environment, seq);

CREATE FUNCTION nightdesk.desk_append(p_environment text, p_operator text, p_write jsonb) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO nightdesk.desk (environment, operator, write) VALUES (p_environment, p_operator, p_write) RETURNING seq
$$;

-- Nothing is changed or deleted; what was said may be removed, by the owner, when whom it names is erased.
CREATE FUNCTION nightdesk.desk_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.write IS NULL
     AND (NEW.seq, NEW.at, NEW.db_role, NEW.environment, NEW.operator) = (OLD.seq, OLD.at, OLD.db_role, OLD.environment, OLD.operator) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'nightdesk.desk is append-only (% refused)', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER no_change   BEFORE UPDATE OR DELETE ON nightdesk.desk FOR EACH ROW       EXECUTE FUNCTION nightdesk.desk_immutable();
CREATE TRIGGER no_truncate BEFORE TRUNCATE         ON nightdesk.desk FOR EACH STATEMENT EXECUTE FUNCTION nightdesk.desk_immutable();
ALTER TABLE nightdesk.desk ENABLE ALWAYS TRIGGER no_change;
ALTER TABLE nightdesk.desk ENABLE ALWAYS TRIGGER no_truncate;

REVOKE ALL ON nightdesk.desk FROM PUBLIC;
REVOKE ALL ON FUNCTION nightdesk.desk_append(text, text, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION nightdesk.desk_immutable() FROM PUBLIC;
