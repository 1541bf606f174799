#!/bin/bash
# Identifiers, signatures, tokens and sealing against their peers, as ratios within one run.
#
# usage: PGHOST=… PGUSER=… bench/crypto.sh     (a superuser of a running server that has dibs, a master key and pgcrypto)
#
# Makes and drops a database of its own. Each line is the median of ALTERNATIONS measurements (7 unless set), taken in
# turns with its peer's; a measurement is one statement over ROWS rows (50,000 unless set, fewer for the slow peers). The
# executor's own loop is in the numbers, unless the line says net. Every function is called in the same place, the target
# list.
set -euo pipefail

ALTERNATIONS=${ALTERNATIONS:-7}
ROWS=${ROWS:-50000}
DATABASE=dibs_bench_crypto_$$
HERE=$(cd "$(dirname "$0")" && pwd)
WORK=$(mktemp -d)

run_psql()
{
	psql -X -q -v ON_ERROR_STOP=1 "$@"
}

finish()
{
	run_psql -d postgres -c "DROP DATABASE IF EXISTS $DATABASE" >/dev/null 2>&1 || true
	rm -rf "$WORK"
}
trap finish EXIT

"${CC:-cc}" -O2 -o "$WORK/openssl_hmac" "$HERE/openssl_hmac.c" -lcrypto
run_psql -d postgres -c "CREATE DATABASE $DATABASE TEMPLATE template0 ENCODING 'UTF8'"
run_psql -d "$DATABASE" -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION dibs' -c 'CREATE EXTENSION pgcrypto'

# OpenSSL's own time, measured around the server's so that both see the same machine.
openssl_times()
{
	for _ in 1 2 3 4; do "$WORK/openssl_hmac"; done
}

OPENSSL=$(openssl_times)
{
	cat <<SQL
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SET search_path = public, pg_catalog;
\set alternations $ALTERNATIONS
\set rows $ROWS
SQL
	cat <<'SQL'
-- Tokens in SQL as RFC 7519 reads, with pgcrypto for the HMAC: what is done where there is no function for it.
CREATE FUNCTION url_encode(data bytea) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT translate(encode(data, 'base64'), E'+/=\n', '-_') $$;
CREATE FUNCTION url_decode(data text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$
WITH standard AS (SELECT translate(data, '-_', '+/') AS text),
	missing AS (SELECT (4 - length(text) % 4) % 4 AS padding FROM standard)
SELECT decode(standard.text || repeat('=', missing.padding), 'base64') FROM standard, missing
$$;
CREATE FUNCTION hmac_by_name(signed text, secret text, algorithm text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$
WITH known AS (SELECT CASE algorithm WHEN 'HS256' THEN 'sha256' WHEN 'HS384' THEN 'sha384' WHEN 'HS512' THEN 'sha512' END AS hash)
SELECT url_encode(hmac(signed, secret, known.hash)) FROM known
$$;
CREATE FUNCTION sql_sign(claims json, secret text, algorithm text DEFAULT 'HS256') RETURNS text LANGUAGE sql IMMUTABLE AS
$$
WITH head AS (SELECT url_encode(convert_to('{"alg":"' || algorithm || '","typ":"JWT"}', 'utf8')) AS data),
	body AS (SELECT url_encode(convert_to(claims::text, 'utf8')) AS data),
	signed AS (SELECT head.data || '.' || body.data AS data FROM head, body)
SELECT signed.data || '.' || hmac_by_name(signed.data, secret, algorithm) FROM signed
$$;
CREATE FUNCTION number_or_null(value text) RETURNS double precision LANGUAGE plpgsql IMMUTABLE AS
$$
BEGIN
	RETURN value::double precision;
EXCEPTION WHEN OTHERS THEN
	RETURN NULL;
END
$$;
CREATE FUNCTION sql_verify(token text, secret text, algorithm text DEFAULT 'HS256')
RETURNS TABLE (header json, claims json, valid boolean) LANGUAGE sql IMMUTABLE AS
$$
SELECT t.header, t.claims, t.signature_ok AND tstzrange(to_timestamp(number_or_null(t.claims ->> 'nbf')),
	to_timestamp(number_or_null(t.claims ->> 'exp'))) @> CURRENT_TIMESTAMP
FROM (SELECT convert_from(url_decode(r[1]), 'utf8')::json AS header, convert_from(url_decode(r[2]), 'utf8')::json AS claims,
		r[3] = hmac_by_name(r[1] || '.' || r[2], secret, algorithm) AS signature_ok
	FROM regexp_split_to_array(token, '\.') r) t
$$;

CREATE TEMP TABLE sample AS
SELECT i, body, encode(hmac(body, 'dibs-bench-secret', 'sha256'), 'hex') AS signature, claims,
	dibs.jwt_sign(claims, 'dibs-bench-secret') AS token, md5(i::text) || md5(i::text || 'x') AS plain
FROM (SELECT i, rpad('{"i":' || i || ',"pad":"', 1024, md5(i::text)) AS body,
		json_build_object('sub', 'user-' || i, 'room', 'room-' || i, 'iat', extract(epoch FROM now())::bigint,
			'exp', extract(epoch FROM now())::bigint + 3600) AS claims
	FROM generate_series(1, 1000) i) _;
ANALYZE sample;

CREATE TEMP TABLE contender (row_no int, name text, rows int, query text);
INSERT INTO contender VALUES
	(0, 'empty loop', :rows, 'SELECT count(i) FROM generate_series(1, %s) i'),
	(1, 'gen_ulid', :rows, 'SELECT count(dibs.gen_ulid()) FROM generate_series(1, %s) i'),
	(1, 'gen_random_uuid', :rows, 'SELECT count(gen_random_uuid()) FROM generate_series(1, %s) i'),
	(2, 'empty loop over bodies', :rows, 'SELECT count(body = signature OR NULL) FROM sample, generate_series(1, %s / 1000)'),
	(2, 'verify_cal_signature', :rows, 'SELECT count(dibs.verify_cal_signature(body, signature, ''dibs-bench-secret'')) FROM sample, generate_series(1, %s / 1000)'),
	(2, 'pgcrypto hmac = signature', :rows, 'SELECT count(encode(hmac(body, ''dibs-bench-secret'', ''sha256''), ''hex'') = signature) FROM sample, generate_series(1, %s / 1000)'),
	(3, 'encrypt_token', :rows, 'SELECT count(dibs.encrypt_token(plain)) FROM sample, generate_series(1, %s / 1000)'),
	(3, 'pgcrypto encrypt_iv', :rows, 'SELECT count(encrypt_iv(plain::bytea, ''01234567890123456789012345678901''::bytea, ''0123456789012345''::bytea, ''aes-cbc'')) FROM sample, generate_series(1, %s / 1000)'),
	(3, 'pgcrypto pgp_sym_encrypt', 1000, 'SELECT count(pgp_sym_encrypt(plain, ''dibs-bench-secret'')) FROM sample, generate_series(1, %s / 1000)'),
	(4, 'jwt_sign', :rows, 'SELECT count(dibs.jwt_sign(claims, ''dibs-bench-secret'')) FROM sample, generate_series(1, %s / 1000)'),
	(4, 'in SQL with pgcrypto: sign', greatest(:rows / 10, 1000), 'SELECT count(sql_sign(claims, ''dibs-bench-secret'')) FROM sample, generate_series(1, %s / 1000)'),
	(5, 'jwt_verify', :rows, 'SELECT count(dibs.jwt_verify(token, ''dibs-bench-secret'')) FROM sample, generate_series(1, %s / 1000)'),
	(5, 'in SQL with pgcrypto: verify', greatest(:rows / 10, 1000), 'SELECT count((v).valid) FROM (SELECT sql_verify(token, ''dibs-bench-secret'') AS v FROM sample, generate_series(1, %s / 1000)) _');

-- What is compared gives the same answers.
SELECT set_config('dibs_bench.ok', (bool_and(dibs.verify_cal_signature(body, signature, 'dibs-bench-secret')
	AND sql_sign(claims, 'dibs-bench-secret') = token AND dibs.jwt_verify(token, 'dibs-bench-secret') = claims::jsonb
	AND (SELECT valid FROM sql_verify(token, 'dibs-bench-secret'))
	AND dibs.decrypt_token(dibs.encrypt_token(plain)) = plain))::text, false) AS same_answers FROM sample
\gset
\if :same_answers
\else
\echo 'the peers do not agree'
\quit 3
\endif

CREATE TEMP TABLE measured (name text, ns double precision);
CREATE PROCEDURE measure(alternations int) LANGUAGE plpgsql AS $$
DECLARE
	c contender;
	started timestamptz;
BEGIN
	FOR i IN 0 .. alternations LOOP
		FOR c IN SELECT * FROM contender ORDER BY row_no LOOP
			started := clock_timestamp();
			EXECUTE format(c.query, c.rows);
			-- the first turn warms up
			IF i > 0 THEN
				INSERT INTO measured VALUES (c.name, extract(epoch FROM clock_timestamp() - started) * 1e9 / c.rows);
			END IF;
		END LOOP;
	END LOOP;
END $$;
CALL measure(:alternations);
SQL
	echo "INSERT INTO measured SELECT 'OpenSSL HMAC()', v FROM unnest('{$(tr '\n' ' ' <<<"$OPENSSL" | sed 's/ *$//; s/ /,/g')}'::float[]) v;"
	echo "\\set more \`for i in 1 2 3 4; do $WORK/openssl_hmac; done | paste -sd,\`"
	cat <<'SQL'
INSERT INTO measured SELECT 'OpenSSL HMAC()', v FROM unnest(('{' || :'more' || '}')::float[]) v;

CREATE TEMP TABLE median AS
SELECT name, percentile_cont(0.5) WITHIN GROUP (ORDER BY ns) AS ns FROM measured GROUP BY name;
\pset footer off
\pset title 'Medians'
SELECT name AS "what", round(ns::numeric, 0) AS "ns a row" FROM median LEFT JOIN contender USING (name) ORDER BY row_no, ns;
\pset title 'Ratios'
SELECT what, round(ratio::numeric, 3) AS ratio, goal,
	CASE WHEN at_most AND ratio <= bound OR NOT at_most AND ratio >= bound THEN 'reached' ELSE 'missed' END AS goal_is
FROM (VALUES
	('gen_ulid / gen_random_uuid', 'gen_ulid', '', 'gen_random_uuid', '', true, 0.3, '<= 0.3'),
	('verify_cal_signature 1 kB / pgcrypto', 'verify_cal_signature', '', 'pgcrypto hmac = signature', '', true, 0.5, '<= 0.5'),
	('verify_cal_signature 1 kB, net / OpenSSL HMAC()', 'verify_cal_signature', 'empty loop over bodies', 'OpenSSL HMAC()', '', true, 1.5, '<= 1.5'),
	('encrypt_token 64 B / pgcrypto encrypt_iv', 'encrypt_token', '', 'pgcrypto encrypt_iv', '', true, 2, '<= 2'),
	('pgcrypto pgp_sym_encrypt / encrypt_token', 'pgcrypto pgp_sym_encrypt', '', 'encrypt_token', '', false, 50, '>= 50'),
	('in SQL with pgcrypto / jwt_sign', 'in SQL with pgcrypto: sign', '', 'jwt_sign', '', false, 10, '>= 10'),
	('in SQL with pgcrypto / jwt_verify', 'in SQL with pgcrypto: verify', '', 'jwt_verify', '', false, 30, '>= 30'))
	AS r (what, a, a_loop, b, b_loop, at_most, bound, goal),
	LATERAL (SELECT ((SELECT ns FROM median WHERE name = a) - coalesce((SELECT ns FROM median WHERE name = a_loop), 0))
		/ ((SELECT ns FROM median WHERE name = b) - coalesce((SELECT ns FROM median WHERE name = b_loop), 0))) AS q (ratio);
SQL
} >"$WORK/bench.sql"
run_psql -d "$DATABASE" -f "$WORK/bench.sql"
