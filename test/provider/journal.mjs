// The log of requests and the counters over them. In memory, capped, without secrets.

import { fingerprint, mediaType } from './http.mjs';

/** Form and query parameters, headers whose value is a secret; the journal keeps a fingerprint of it. */
const SECRET_FIELDS = new Set(['refresh_token', 'access_token', 'client_secret', 'code', 'code_verifier', 'token', 'refreshToken', 'accessToken', 'apiKey']);
const SECRET_HEADERS = new Set(['cookie', 'proxy-authorization', 'x-api-key', 'x-cal-secret-key']);

export class Journal {
	/** `cap`: entries kept (the older half goes first); 0 keeps none and only counts. */
	constructor(cap) {
		this.cap = cap;
		this.clear();
	}

	clear() {
		this.entries = [];
		this.dropped = 0;
		this.counters = {
			requests: 0,
			accepted: 0,
			refused: 0,
			faults: 0,
			violations: 0,
			answerViolations: 0,
			anomalies: 0,
			inFlight: this.counters?.inFlight ?? 0,
			maxInFlight: 0,
			connections: 0,
			byRoute: {},
			byStatus: {},
		};
	}

	/** Notes that a request has arrived; the entry is filled while it is worked on. */
	open(method, path, query, req, connection) {
		const counters = this.counters;
		counters.requests++;
		if (++counters.inFlight > counters.maxInFlight) counters.maxInFlight = counters.inFlight;
		const entry = {
			n: counters.requests,
			time: new Date().toISOString(),
			method,
			path,
			query: maskedFields(query),
			headers: maskedHeaders(req.headers),
			body: undefined,
			route: undefined,
			status: undefined,
			accepted: false,
			answered: false,
			ms: undefined,
			code: undefined,
			host: undefined,
			meeting: undefined,
			marker: undefined,
			faults: [],
			anomalies: [],
			conformance: [],
			answerConformance: [],
			connection,
			httpVersion: req.httpVersion,
		};
		Object.defineProperty(entry, 'started', { value: performance.now() });
		if (this.cap > 0) {
			this.entries.push(entry);
			if (this.entries.length > this.cap) this.dropped += this.entries.splice(0, Math.ceil(this.cap / 2)).length;
		}
		return entry;
	}

	/** Keeps the body as parsed by its content type, secrets masked. */
	noteBody(entry, headers, bytes) {
		if (bytes.length === 0 || this.cap === 0) return;
		const text = bytes.toString();
		if (mediaType(headers) === 'application/x-www-form-urlencoded')
			entry.body = maskedFields(new URLSearchParams(text));
		else {
			try {
				entry.body = JSON.parse(text, (name, value) => (SECRET_FIELDS.has(name) ? fingerprint(value) : value));
			} catch {
				entry.body = text.slice(0, 2000);
			}
		}
	}

	/** The request is over. `answered` false: a fault kept the answer from the client, whatever was done. */
	close(entry, answered) {
		const counters = this.counters;
		entry.ms = Math.round((performance.now() - entry.started) * 10) / 10;
		entry.answered = answered;
		counters.inFlight--;
		counters[entry.accepted ? 'accepted' : 'refused']++;
		counters.violations += entry.conformance.length;
		counters.answerViolations += entry.answerConformance.length;
		counters.anomalies += entry.anomalies.length;
		if (entry.faults.length > 0) counters.faults++;
		const route = entry.route ?? 'unknown';
		counters.byRoute[route] = (counters.byRoute[route] ?? 0) + 1;
		const status = entry.status ?? 'none';
		counters.byStatus[status] = (counters.byStatus[status] ?? 0) + 1;
	}

	/** For GET /_control/log: entries after `since`, of a method, a path (regular expression), the last `limit`. */
	select({ since = 0, method, path, limit = Infinity }) {
		const pattern = path ? new RegExp(path) : undefined;
		const found = this.entries.filter(
			(entry) =>
				entry.n > since && (!method || entry.method === method) && (!pattern || pattern.test(entry.path)),
		);
		return found.slice(-limit);
	}
}

function maskedFields(params) {
	const fields = {};
	for (const [name, value] of params) fields[name] = SECRET_FIELDS.has(name) ? fingerprint(value) : value;
	return fields;
}

function maskedHeaders(headers) {
	const kept = {};
	for (const [name, value] of Object.entries(headers)) {
		if (name.startsWith(':')) continue;
		if (name === 'authorization') {
			const [scheme, ...rest] = String(value).split(' ');
			kept[name] = rest.length > 0 ? `${scheme} ${fingerprint(rest.join(' '))}` : fingerprint(scheme);
		} else kept[name] = SECRET_HEADERS.has(name) ? fingerprint(value) : value;
	}
	return kept;
}
