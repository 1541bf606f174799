// Faults on demand: what a network and a tired provider do to a request. A rule says which requests and what happens.
//
// { match: {method, path}, times | probability + seed, skip, kind, when: 'before' | 'after', ... }
// `before` acts before the provider has done anything, `after` when it has done its work but the answer is not out.

import { encode } from './http.mjs';

const KINDS = {
	delay: 'wait `ms`, then go on',
	status: 'answer `status`, `headers`, `body`',
	reset: 'break the connection (HTTP/2: the stream; with `connection` true the connection)',
	timeout: 'never answer',
	truncate: 'announce the whole answer, send half, break the connection',
	garbage: 'right status and content type, `bytes` of noise as body',
	json: 'right status, `body` instead of the real one',
	drip: 'send the answer in `chunk` bytes every `ms`',
	huge: 'answer with `bytes` (default 100 MB) of JSON that goes on and on',
	redirect: 'answer `status` (default 302) to `location`',
	expire_token: 'the token in the request has just expired',
	revoke_token: 'the token in the request has just been revoked',
};
/** Kinds that happen to the answer, so the provider has always acted. */
const ANSWER_KINDS = new Set(['truncate', 'garbage', 'json', 'drip', 'huge']);
/** Kinds that only make sense before the provider acts. */
const TOKEN_KINDS = new Set(['expire_token', 'revoke_token']);

const DEFAULT_HUGE = 100 * 1024 * 1024;

/** Small seeded generator (mulberry32), so that a run with probabilities can be repeated. */
export function seededRandom(seed) {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
	};
}

export class Faults {
	constructor() {
		this.rules = [];
		this.lastId = 0;
		this.hanging = new Set();
	}

	/** Adds a rule; throws an Error that names what is wrong with it. */
	add(spec) {
		const { match = {}, kind, times, probability, seed = 1, skip = 0, when, ...rest } = spec;
		if (!(kind in KINDS))
			throw new Error(`unknown fault kind ${JSON.stringify(kind)}; known: ${Object.keys(KINDS).join(', ')}`);
		const side = when ?? (ANSWER_KINDS.has(kind) ? 'after' : 'before');
		if (side !== 'before' && side !== 'after') throw new Error('"when" is "before" or "after"');
		if ((ANSWER_KINDS.has(kind) && side === 'before') || (TOKEN_KINDS.has(kind) && side === 'after'))
			throw new Error(`a ${kind} fault cannot happen ${side} acting`);
		if (kind === 'status' && !(rest.status >= 200 && rest.status <= 599))
			throw new Error('a status fault needs "status" between 200 and 599');
		if (probability !== undefined && !(probability >= 0 && probability <= 1))
			throw new Error('"probability" is between 0 and 1');
		const rule = {
			id: ++this.lastId,
			kind,
			when: side,
			skip,
			hits: 0,
			seen: 0,
			probability,
			seed,
			...rest,
			match: { method: match.method?.toUpperCase(), path: match.path ?? '.' },
			// Without a probability a rule is a queue of one; 0 means for ever.
			times: times ?? (probability === undefined ? 1 : 0),
		};
		Object.defineProperty(rule, 'pattern', { value: new RegExp(rule.match.path) });
		Object.defineProperty(rule, 'random', { value: seededRandom(seed) });
		this.rules.push(rule);
		return rule;
	}

	/** Rules that strike this request. All delays count, of the others the first for each side. */
	pick(method, path) {
		if (this.rules.length === 0) return [];
		const struck = [];
		for (const rule of this.rules) {
			if (
				(rule.times > 0 && rule.hits >= rule.times) ||
				(rule.match.method && rule.match.method !== method) ||
				!rule.pattern.test(path)
			)
				continue;
			if (rule.kind !== 'delay' && struck.some((other) => other.kind !== 'delay' && other.when === rule.when))
				continue;
			if (rule.seen++ < rule.skip || (rule.probability !== undefined && rule.random() >= rule.probability))
				continue;
			rule.hits++;
			struck.push(rule);
		}
		return struck;
	}

	/** Takes a rule away by id, or all; requests that hang in a timeout are then broken off. */
	clear(id) {
		this.rules = id === undefined ? [] : this.rules.filter((rule) => rule.id !== id);
		if (id === undefined) this.release();
	}

	release() {
		for (const end of this.hanging) end();
		this.hanging.clear();
	}

	/**
	 * Lets a terminal fault (anything but delays and token kinds) happen to a request.
	 * `reply` is what the provider answered; absent before it acted. Resolves to whether a full answer went out.
	 */
	async strike(rule, req, res, reply) {
		switch (rule.kind) {
			case 'reset':
				breakOff(req, res, rule.connection);
				return false;
			case 'timeout':
				return new Promise((resolve) => {
					const end = () => {
						this.hanging.delete(end);
						breakOff(req, res, false);
						resolve(false);
					};
					this.hanging.add(end);
					res.on('close', end);
				});
			case 'truncate':
				return truncate(req, res, altered(rule, reply));
			case 'drip':
				return drip(res, altered(rule, reply), rule.chunk ?? 1, rule.ms ?? 20);
			case 'huge':
				return flood(res, rule.status ?? reply.status, rule.bytes ?? DEFAULT_HUGE);
			default:
				throw new Error(`fault ${rule.kind} does not end a request`);
		}
	}

	/** The answer a rule puts in place of the real one, or undefined when the rule does something else. */
	substitute(rule, path, reply) {
		switch (rule.kind) {
			case 'status':
				return { status: rule.status, headers: rule.headers ?? {}, body: rule.body };
			case 'redirect':
				return {
					status: rule.status ?? 302,
					headers: { location: rule.location ?? path, ...rule.headers },
					body: rule.body,
				};
			case 'json':
				return { status: rule.status ?? reply.status, headers: rule.headers ?? {}, body: rule.body ?? {} };
			case 'garbage':
				return {
					status: rule.status ?? reply.status,
					headers: { 'content-type': 'application/json;charset=UTF-8', ...rule.headers },
					body: noise(rule.bytes ?? 512, rule.random),
				};
			default:
				return undefined;
		}
	}
}

/** A 204 has no body that could suffer: a rule may give it one. */
function altered(rule, reply) {
	return { ...reply, status: rule.status ?? reply.status, body: rule.body ?? reply.body };
}

export const isTokenFault = (rule) => TOKEN_KINDS.has(rule.kind);

export function sleep(ms) {
	return new Promise((resolve) => setTimeout(resolve, ms));
}

function noise(length, random) {
	return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
}

/** Ends a request without an answer: RST on TCP, RST_STREAM (or the whole session) on HTTP/2. */
function breakOff(req, res, wholeConnection) {
	if (res.stream) {
		if (wholeConnection) res.stream.session?.destroy();
		else res.stream.close(2 /* INTERNAL_ERROR */);
		return;
	}
	const socket = req.socket;
	// resetAndDestroy refuses sockets that are not plain TCP.
	if (socket.encrypted) socket.destroy();
	else socket.resetAndDestroy();
}

async function truncate(req, res, reply) {
	const { bytes, headers } = encode(reply);
	const announced = Math.max(bytes.length, 2);
	res.writeHead(reply.status === 204 ? 200 : reply.status, { ...headers, 'content-length': announced });
	await new Promise((resolve) => res.write(bytes.subarray(0, Math.floor(announced / 2)), resolve));
	// Let the first half leave before the line goes dead, else the client may see only the reset.
	await sleep(20);
	if (res.stream) res.stream.close(2);
	else req.socket.destroy();
	return false;
}

async function drip(res, reply, chunk, ms) {
	const { bytes, headers } = encode(reply);
	res.writeHead(reply.status, reply.status === 204 ? headers : { ...headers, 'content-length': bytes.length });
	for (let at = 0; at < bytes.length; at += chunk) {
		if (res.destroyed || res.stream?.destroyed || res.socket?.destroyed) return false;
		res.write(bytes.subarray(at, at + chunk));
		await sleep(ms);
	}
	res.end();
	return true;
}

/** Well-formed JSON up to the last byte, so that only a cap on size stops a reader. */
async function flood(res, status, total) {
	const piece = Buffer.from('"' + 'x'.repeat(65533) + '",');
	let gone = false;
	let wake = () => {};
	res.on('drain', () => wake());
	res.on('close', () => {
		gone = true;
		wake();
	});
	res.writeHead(status === 204 ? 200 : status, { 'content-type': 'application/json;charset=UTF-8' });
	res.write('{"id":1,"filler":[');
	for (let sent = 0; sent < total && !gone; sent += piece.length) {
		if (!res.write(piece))
			await new Promise((resolve) => {
				wake = resolve;
			});
	}
	if (gone) return false;
	res.end('""]}');
	return true;
}
