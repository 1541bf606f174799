-- HMAC-SHA256 of what the tests sign, apart from dibs' own: lower-case hex, or base64.
CREATE FUNCTION pg_temp.hmac(message bytea, key bytea, format text = 'hex') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	ipad bytea := '';
	opad bytea := '';
BEGIN
	IF length(key) > 64 THEN key := sha256(key); END IF;
	key := key || decode(repeat('00', 64 - length(key)), 'hex');
	FOR i IN 0..63 LOOP
		ipad := ipad || set_byte('\x00', 0, get_byte(key, i) # 54);
		opad := opad || set_byte('\x00', 0, get_byte(key, i) # 92);
	END LOOP;
	RETURN encode(sha256(opad || sha256(ipad || message)), format);
END $$;
