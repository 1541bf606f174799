// Zoom, as strict as Zoom: which operation a request is, whether it may be done, and by which room.

import { randomUUID } from 'node:crypto';
import { answer, mediaType } from './http.mjs';
import { Limits } from './limits.mjs';
import { OAuth } from './zoom-oauth.mjs';
import { OPERATIONS } from './zoom-fields.mjs';
import { Meetings } from './zoom-meetings.mjs';
import { Registrants } from './zoom-registrants.mjs';
import { Users } from './zoom-users.mjs';
import { ZoomWebhooks } from './zoom-webhooks.mjs';
import { sleep } from './faults.mjs';
import { Refusal } from './zoom-refusal.mjs';
import { problems } from './validate.mjs';

export class Zoom {
	constructor({ clock, specs, settings }) {
		this.specs = specs;
		this.limits = new Limits(clock);
		this.users = new Users({ clock });
		this.oauth = new OAuth({ clock, settings });
		this.meetings = new Meetings({ clock, users: this.users, limits: this.limits, timezones: specs?.timezones });
		this.registrants = new Registrants({ clock, meetings: this.meetings, limits: this.limits });
		this.webhooks = new ZoomWebhooks({ clock, meetings: this.meetings, sleep });
		this.rooms = [this.meetings, this.registrants, this.users, this.webhooks];
	}

	claims(path) {
		return path.startsWith('/v2/') || path.startsWith('/oauth/');
	}

	handle(call) {
		const { entry } = call;
		if (call.path.startsWith('/oauth/')) {
			const reply = this.oauth.handle(call);
			entry.accepted = reply.status < 400;
			return reply;
		}
		entry.conformance = this.specs?.checkRequest(call) ?? [];
		let reply;
		try {
			reply = this.perform(call);
		} catch (error) {
			if (!error.reply) throw error;
			reply = { ...error.reply, headers: { ...call.rateHeaders, ...error.reply.headers } };
		}
		reply.headers = { 'x-zm-trackingid': `v=2.0;clid=standin;rid=WEB_${randomUUID()}`, ...reply.headers };
		entry.accepted = reply.status < 400;
		entry.code = reply.body?.code;
		if (reply.status < 400) entry.answerConformance = this.specs?.checkAnswer(call, reply) ?? [];
		return reply;
	}

	/** Zoom's order: endpoint, token, account limits, scopes, content type, JSON, fields, then the operation itself. */
	perform(call) {
		const { operation, params } = recognise(call.method, call.path);
		call.entry.route = `${operation.method} ${operation.path}`;
		const { held, refusal } = this.oauth.check(call.headers);
		if (refusal) return refusal;
		const { refusal: tooMany, headers } = this.limits.account(operation.label);
		if (tooMany) return tooMany;
		call.rateHeaders = headers;
		requireScope(held, operation);
		const body = operation.body ? readJson(call) : undefined;
		requireFields(operation, call.query, body);

		const room = this.rooms.find((candidate) => operation.name in candidate);
		const done = room[operation.name]({ params, query: call.query, body, held, entry: call.entry });
		return { ...done, headers: { ...headers, ...done.headers } };
	}

	/** --fast: creates by path alone; everything else by the ordinary way, without a log. */
	fast(method, url, chunks, headers) {
		if (method === 'POST' && url.endsWith('/meetings') && url.startsWith('/v2/users/'))
			return this.meetings.backstage.fastCreate(url.slice('/v2/users/'.length, -'/meetings'.length), chunks);
		const cut = url.indexOf('?');
		const path = cut < 0 ? url : url.slice(0, cut);
		const entry = { anomalies: [], conformance: [] };
		return this.claims(path)
			? this.handle({
					method,
					path,
					query: new URLSearchParams(cut < 0 ? '' : url.slice(cut + 1)),
					headers,
					body: Buffer.concat(chunks),
					entry,
				})
			: answer(404, { message: 'nothing lives at this path' });
	}

	spoilToken(headers, how) {
		this.oauth.spoilToken(headers, how);
	}

	state() {
		return {
			oauth: this.oauth.counters,
			...this.meetings.backstage.state(),
			registrants: this.registrants.counters,
		};
	}

	configure(changes) {
		const known = [
			'users',
			'clients',
			'tokenLife',
			'refreshLifeSeconds',
			'scopes',
			'consent',
			'apiUrl',
			'limits',
			'marker',
			'listDelayMs',
			's2sMe',
			'maxRegistrants',
			'webhookSecret',
			'webhookMinuteMs',
		];
		for (const name of Object.keys(changes))
			if (!known.includes(name))
				throw new Error(`unknown setting ${name}; known: latency, clockOffsetMs, ${known.join(', ')}`);
		this.users.configure(changes);
		this.oauth.configure(changes);
		if (changes.limits) this.limits.configure(changes.limits);
		this.meetings.configure(changes);
		this.meetings.backstage.configure(changes);
		this.registrants.configure(changes);
		this.webhooks.configure(changes);
	}

	config() {
		return {
			...this.oauth.config(),
			...this.users.config(),
			limits: this.limits.config,
			...this.meetings.config(),
			...this.meetings.backstage.config(),
			maxRegistrants: this.registrants.maximum,
			...this.webhooks.config(),
		};
	}

	reset() {
		for (const part of [this.limits, this.users, this.oauth, this.meetings, this.registrants, this.webhooks]) part.reset();
	}
}

function recognise(method, path) {
	for (const operation of OPERATIONS) {
		const match = operation.method === method ? operation.pattern.exec(path) : null;
		if (!match) continue;
		try {
			const params = Object.entries(match.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)]);
			return { operation, params: Object.fromEntries(params) };
		} catch {
			break;
		}
	}
	throw new Refusal(404, 2300, 'This API endpoint is not recognized.');
}

function requireScope(held, operation) {
	// A user's app cannot use the account-wide scope, whatever it was given.
	const wanted =
		held.kind === 's2s'
			? [...operation.scopes, ...operation.classic]
			: [...operation.scopes, ...operation.classic].filter((scope) => !scope.endsWith(':admin'));
	if (!wanted.some((scope) => held.scopes.includes(scope)))
		throw new Refusal(400, 4711, `Invalid access token, does not contain scopes:[${operation.scopes.join(', ')}].`);
}

function readJson({ headers, body }) {
	if (mediaType(headers) !== 'application/json') throw new Refusal(415, 300, 'Unsupported Content Type');
	let parsed;
	try {
		// Fatal on bytes that are not UTF-8, which JSON.parse alone would quietly replace.
		parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
	} catch {
		throw new Refusal(400, 300, 'Request Body should be a valid JSON object.');
	}
	if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed))
		throw new Refusal(400, 300, 'Request Body should be a valid JSON object.');
	return parsed;
}

function requireFields(operation, query, body) {
	const errors = [];
	for (const name of new Set(query.keys()))
		if (!operation.query.includes(name)) errors.push({ field: name, message: 'Unknown field.' });
	if (operation.body) errors.push(...problems(operation.body, body));
	if (errors.length > 0) throw new Refusal(400, 300, 'Validation Failed.', errors);
}
