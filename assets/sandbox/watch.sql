-- What a drill records of the application's tables: each row that anybody but the application and the sandbox itself wrote.
-- It belongs to the superuser; nobody else can read it, change it or switch it off.
CREATE SCHEMA drill;
REVOKE ALL ON SCHEMA drill FROM PUBLIC;
CREATE TABLE drill.writes (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    role text NOT NULL,
    application text NOT NULL,
    relation text NOT NULL,
    operation text NOT NULL,
    keys text[] NOT NULL,
    transaction text NOT NULL,
    before jsonb,
    after jsonb
);
-- The session's user, not the current one: inside this function that is the superuser, and inside a cascade the table's owner.
-- Times are written in UTC, whatever the session's zone: two images of one row must be comparable.
CREATE FUNCTION drill.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
BEGIN
    IF session_user = 'app'
        OR (session_user = 'postgres' AND current_setting('application_name') = 'sandbox' AND inet_client_addr() IS NULL) THEN
        RETURN NULL;
    END IF;
    INSERT INTO drill.writes (role, application, relation, operation, keys, transaction, before, after)
    VALUES (session_user, current_setting('application_name'), TG_TABLE_NAME, TG_OP, COALESCE(TG_ARGV[:], '{}'),
        pg_current_xact_id()::text, to_jsonb(OLD), to_jsonb(NEW));
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION drill.note() FROM PUBLIC;
DO $$
DECLARE
    found record;
BEGIN
    -- A partition gets its parent's triggers by itself. The columns of the narrowest key that every row has tell rows apart.
    FOR found IN
        SELECT c.oid::regclass AS relation, (
            SELECT string_agg(quote_literal(a.attname), ', ')
            FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum = ANY ((
                SELECT i.indkey::int2[] FROM pg_index i
                WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
                ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1)::int2[])
        ) AS keys
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    LOOP
        EXECUTE format('CREATE TRIGGER drill_note AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION drill.note(%s)',
            found.relation, COALESCE(found.keys, ''));
        EXECUTE format('CREATE TRIGGER drill_note_all AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION drill.note()', found.relation);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER drill_note', found.relation);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER drill_note_all', found.relation);
    END LOOP;
END $$;
