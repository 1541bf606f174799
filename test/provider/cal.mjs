// Cal.com's API v2, as strict as Cal.com: which operation a request is, in which version, for whom, how often.

import { randomUUID } from 'node:crypto';
import { answer, mediaType } from './http.mjs';
import { CalBookings } from './cal-bookings.mjs';
import { CalCatalog } from './cal-catalog.mjs';
import { CalBackstage } from './cal-backstage.mjs';
import { CalLimits } from './cal-limits.mjs';
import { CalPeople } from './cal-people.mjs';
import { CalRefusal, invalid } from './cal-refusal.mjs';
import { CalWebhooks } from './cal-webhooks.mjs';
import { OPERATIONS, recognise } from './cal-operations.mjs';
import { oldView } from './cal-views.mjs';

const PREFIX = '/cal';

/** Where Cal.com's own document is wrong, or contradicts its own example. */
const KNOWN_ERRORS = [
	/^query calendarsToLoad\[/, // the document lists credentialId and externalId flat, its example has brackets
	/^query (credentialId|externalId): required$/,
	/\.id: string, not number$/, // a webhook's id is a uuid
	/\.seatsPerTimeSlot: number, not object$/,
	/\.recurringBookingUid: not in the document$/, // the first of several kinds of answer is held against it
];

export class Cal {
	constructor({ clock, specs, settings }) {
		this.clock = clock;
		this.specs = specs;
		this.limits = new CalLimits(clock);
		this.people = new CalPeople({ clock });
		this.catalog = new CalCatalog({ clock, people: this.people });
		this.webhooks = new CalWebhooks({ clock, settings });
		this.bookings = new CalBookings({ clock, people: this.people, catalog: this.catalog, webhooks: this.webhooks });
		this.webhooks.bookings = this.bookings;
		this.backstage = new CalBackstage({ clock, settings, bookings: this.bookings, webhooks: this.webhooks });
		this.rooms = [this.bookings, this.catalog, this.webhooks, this.people];
	}

	claims(path) {
		return path.startsWith(PREFIX + '/');
	}

	handle(call) {
		const { entry } = call;
		const path = call.path.slice(PREFIX.length);
		let reply;
		try {
			reply = this.perform(call, path);
		} catch (error) {
			if (!(error instanceof CalRefusal)) throw error;
			reply = error.reply(path, this.clock());
			entry.code = error.message;
		}
		// Its own clock: what was read is as of then.
		reply.headers = {
			date: new Date(this.clock()).toUTCString(),
			'x-request-id': randomUUID(),
			...call.rateHeaders,
			...reply.headers,
		};
		entry.accepted = reply.status < 400;
		if (reply.status < 400 && call.operation?.checked) {
			const violations = this.specs?.checkAnswer(call, reply) ?? [];
			entry.answerConformance = violations.filter((text) => !KNOWN_ERRORS.some((known) => known.test(text)));
		}
		return reply;
	}

	/** Cal.com's order: who, how often, which operation in which version, its fields, then the operation itself. */
	perform(call, path) {
		const { entry } = call;
		if (call.method === 'GET' && path === '/auth/oauth2/authorize') return this.people.authorize(call);
		if (call.method === 'POST' && path === '/v2/auth/oauth2/token') {
			entry.route = 'POST /v2/auth/oauth2/token';
			return this.people.token(call);
		}
		const { operation, params } = recognise(call.method, path);
		entry.route = operation && `${operation.method} ${operation.path}`;
		call.operation = operation;
		if (operation)
			entry.conformance = (this.specs?.checkRequest(call) ?? []).filter(
				(text) => !KNOWN_ERRORS.some((known) => known.test(text)),
			);
		const actor = this.people.identify(call.headers);
		this.limit(call, actor);
		if (!operation) throw new CalRefusal(404, `Cannot ${call.method} ${path}`);
		const old = operation.version !== undefined && call.headers['cal-api-version'] !== operation.version;
		if (old) {
			entry.anomalies.push('old_api_version');
			if (!operation.older) throw new CalRefusal(404, `Cannot ${call.method} ${path}`);
		}
		if (operation.auth === 'required' && !actor?.user) throw new CalRefusal(401, 'Unauthorized');
		if (operation.people) this.limitOwn(call, actor, operation);
		const query = this.known(call, operation);
		const body = operation.body ? this.readBody(call, operation) : undefined;
		const room = this.rooms.find((candidate) => operation.name in candidate);
		const data = room[operation.name]({ params, query, body, actor, headers: call.headers }, this.bookings);
		const status = operation.status ?? 200;
		if (old) return answer(status, { status: 'success', data: oldView(operation.name, data) });
		if (operation.name === 'listBookings') return answer(status, { status: 'success', ...data });
		return answer(status, { status: 'success', data });
	}

	limit(call, actor) {
		const kind = actor?.kind ?? 'ip';
		const { refused, headers } = this.limits.take(`${kind} ${actor?.key ?? ''}`, this.limits.config[kind]);
		call.rateHeaders = headers;
		if (refused) throw new CalRefusal(429, 'ThrottlerException: Too Many Requests');
	}

	limitOwn(call, actor, { name, people }) {
		const { refused, headers } = this.limits.take(`${name} ${actor.key}`, this.limits.config.people, people);
		Object.assign(call.rateHeaders, headers);
		if (refused) throw new CalRefusal(429, 'ThrottlerException: Too Many Requests');
	}

	/** What is not known is dropped without a word; the log has the word. */
	known(call, operation) {
		const query = new URLSearchParams();
		for (const [name, value] of call.query) {
			if (operation.query.includes(name) || operation.query.includes(name.replace(/\[\d+\]/, '[]'))) query.append(name, value);
			else call.entry.anomalies.push(`dropped ${name}`);
		}
		return query;
	}

	readBody(call, operation) {
		if (call.body.length === 0) return {};
		if (mediaType(call.headers) !== 'application/json') throw new CalRefusal(400, 'Unexpected content type');
		let parsed;
		try {
			parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(call.body));
		} catch (error) {
			throw new CalRefusal(400, error.message);
		}
		if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) throw invalid('body', parsed, 'must be an object');
		const kept = {};
		for (const [name, value] of Object.entries(parsed)) {
			if (operation.body.includes(name)) kept[name] = value;
			else call.entry.anomalies.push(`dropped ${name}`);
		}
		return kept;
	}

	fast() {
		return answer(404, { message: 'Cal.com has no fast way' });
	}

	spoilToken(headers, how) {
		this.people.spoilToken(headers, how);
	}

	state() {
		return {
			...this.bookings.counters,
			bookings: this.bookings.all.size,
			duplicates: Object.entries(this.bookings.counters.markers).filter(([, count]) => count > 1),
			people: this.people.counters,
			limits: this.limits.counters,
			webhooks: [...this.webhooks.all.values()].map(({ id, subscriberUrl, active, triggers, userId }) => ({
				id,
				subscriberUrl,
				active,
				triggers,
				userId,
			})),
			sent: this.webhooks.sent,
		};
	}

	configure(changes) {
		const known = ['limits', 'calUsers', 'calClients', 'accessMinutes', 'managedMinutes', 'calConsent', 'busy', 'hours', 'sender'];
		for (const name of Object.keys(changes))
			if (!known.includes(name)) throw new Error(`unknown setting ${name} of cal; known: ${known.join(', ')}`);
		if (changes.limits) this.limits.configure(changes.limits);
		for (const part of [this.people, this.catalog, this.webhooks]) part.configure(changes);
	}

	config() {
		return {
			limits: this.limits.config,
			accessMinutes: this.people.accessMinutes,
			calConsent: this.people.consent,
			hours: this.catalog.hours,
			sender: this.webhooks.sender,
			operations: OPERATIONS.length,
		};
	}

	reset() {
		for (const part of [this.limits, this.people, this.catalog, this.webhooks, this.bookings]) part.reset();
	}
}
