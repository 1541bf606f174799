// What every room needs of HTTP: reading a request whole, an answer's shape, hashes in place of secrets.

import { createHash } from 'node:crypto';

/** The most that a request body may hold; a provider would answer 413 far earlier than any test needs. */
const MAX_BODY = 4 * 1024 * 1024;

/** An answer, before it is written: `body` undefined means no body at all. */
export function answer(status, body, headers = {}) {
	return { status, headers, body };
}

/** First 12 hex digits of a secret's SHA-256: two requests can be compared, nothing can be used. */
export function fingerprint(secret) {
	return 'sha256:' + createHash('sha256').update(String(secret)).digest('hex').slice(0, 12);
}

/** Reads the body of a request, HTTP/1 or HTTP/2 alike. Rejects when the peer goes away half-way. */
export function readBody(req) {
	return new Promise((resolve, reject) => {
		const chunks = [];
		let size = 0;
		req.on('data', (chunk) => {
			size += chunk.length;
			if (size > MAX_BODY) reject(new Error('request body too large'));
			else chunks.push(chunk);
		});
		req.on('end', () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
		req.on('error', reject);
		req.on('aborted', () => reject(new Error('the client went away')));
	});
}

/** Media type in lower case, without parameters. */
export function mediaType(headers) {
	return (headers['content-type'] ?? '').split(';')[0].trim().toLowerCase();
}

/** `Authorization: Scheme rest` as [scheme in lower case, rest], or ['', '']. */
export function authorization(headers) {
	const match = /^(\S+)\s+(\S+)\s*$/.exec(headers.authorization ?? '');
	return match ? [match[1].toLowerCase(), match[2]] : ['', ''];
}

/** The bytes and headers of an answer as they go on the wire. */
export function encode({ body, headers }) {
	if (body === undefined) return { bytes: Buffer.alloc(0), headers };
	if (Buffer.isBuffer(body)) return { bytes: body, headers };
	if (typeof body === 'string')
		return { bytes: Buffer.from(body), headers: { 'content-type': 'text/html;charset=utf-8', ...headers } };
	return {
		bytes: Buffer.from(JSON.stringify(body)),
		headers: { 'content-type': 'application/json;charset=UTF-8', ...headers },
	};
}

/** Writes an answer whole. 204 and 304 carry neither body nor content-length, as the RFC has it. */
export function write(res, reply) {
	const { bytes, headers } = encode(reply);
	const bodiless = reply.status === 204 || reply.status === 304;
	res.writeHead(reply.status, bodiless ? headers : { ...headers, 'content-length': bytes.length });
	res.end(bodiless ? undefined : bytes);
}
