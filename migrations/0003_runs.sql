-- Which runs there are and how far each came, as the records tell: so that a list of runs costs what it shows, and not what was ever
-- recorded. It says nothing that the records do not say, and nothing is proven by it.

CREATE TABLE nightdesk.audit_run (
  environment text    NOT NULL,
  operator    text    NOT NULL,
  run         text    NOT NULL,
  opened      bigint  NOT NULL,                                           -- the record's number in nightdesk.audit
  closed      bigint,                                                     -- of its last closing; NULL: it is unfinished
  handed_over boolean NOT NULL DEFAULT false,                             -- given up after something was sent
  PRIMARY KEY (environment, operator, run)
);
CREATE INDEX audit_run_closed ON nightdesk.audit_run (environment, operator, closed);
-- What it sent is not to be sent again, however long ago it was.
CREATE INDEX audit_run_lasting ON nightdesk.audit_run (environment, operator) WHERE closed IS NULL OR handed_over;

-- A record is searched as text: within a JSON string no quotation mark stands unescaped.
CREATE INDEX audit_of_run ON nightdesk.audit (substr(record, strpos(record, '"run":"') + 7, 36)) WHERE strpos(record, '"run":"') > 0;

CREATE FUNCTION nightdesk.audit_list_run() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id text := substr(NEW.record, strpos(NEW.record, '"run":"') + 7, 36);
BEGIN
  IF strpos(NEW.record, '{"entry":"run-opened"') > 0 THEN
    INSERT INTO nightdesk.audit_run (environment, operator, run, opened) VALUES (NEW.environment, NEW.operator, id, NEW.seq)
    ON CONFLICT DO NOTHING;
  ELSIF strpos(NEW.record, '{"entry":"run-closed"') > 0 THEN
    UPDATE nightdesk.audit_run SET closed = NEW.seq, handed_over = handed_over OR strpos(NEW.record, '"how":"handed-over"') > 0
     WHERE environment = NEW.environment AND operator = NEW.operator AND run = id;
  END IF;
  RETURN NULL;
END $$;
-- Before what is there already is listed: it keeps others from appending until that is done.
CREATE TRIGGER list_run AFTER INSERT ON nightdesk.audit FOR EACH ROW EXECUTE FUNCTION nightdesk.audit_list_run();
ALTER TABLE nightdesk.audit ENABLE ALWAYS TRIGGER list_run;

INSERT INTO nightdesk.audit_run (environment, operator, run, opened, closed, handed_over)
SELECT environment, operator, run, min(seq) FILTER (WHERE NOT closes), max(seq) FILTER (WHERE closes),
       coalesce(bool_or(closes AND strpos(record, '"how":"handed-over"') > 0), false)
FROM (SELECT environment, operator, seq, record, substr(record, strpos(record, '"run":"') + 7, 36) AS run,
             strpos(record, '{"entry":"run-closed"') > 0 AS closes
      FROM nightdesk.audit
      WHERE strpos(record, '{"entry":"run-opened"') > 0 OR strpos(record, '{"entry":"run-closed"') > 0) ends
GROUP BY environment, operator, run
HAVING bool_or(NOT closes);

REVOKE ALL ON nightdesk.audit_run FROM PUBLIC;
REVOKE ALL ON FUNCTION nightdesk.audit_list_run() FROM PUBLIC;
