-- What a statement says, or its error and hint.
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
	hint text;
BEGIN
	EXECUTE statement INTO said;
	RETURN coalesce(said, 'null');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' ', SQLSTATE, regexp_replace(SQLERRM, 'dibs_\w+', 'UID'), '(' || nullif(hint, '') || ')');
END $$;
