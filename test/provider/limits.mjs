// Zoom's rate limits: for the account a second and a day by label and plan; for a host and for a registrant a day.
// All off until configured. "Day" and "second" are aligned windows (a day starts at 00:00 UTC) and can be shortened.

import { answer } from './http.mjs';

/** [requests a second, requests a day]; Infinity where the plan knows no such limit. */
const PLANS = {
	free: { Light: [4, 6000], Medium: [2, 2000], Heavy: [1, 1000] },
	pro: { Light: [30, Infinity], Medium: [20, Infinity], Heavy: [10, 30000] },
	business: { Light: [80, Infinity], Medium: [60, Infinity], Heavy: [40, 60000] },
};
const PER_SECOND = 'You have reached the maximum per-second rate limit for this API. Try again later.';
const DAILY =
	'You have reached the maximum daily rate limit for this API. ' +
	'Refer to the response header for details on when you can make another request.';

const DEFAULTS = {
	plan: 'pro',
	perSecond: false, // the plan's limit a second by label
	daily: false, // the plan's limit a day by label
	hostDaily: 0, // creates and updates a host and day; Zoom: 100
	registrantDaily: 0, // add-registrant for one address in one meeting; Zoom: 3
	registrantStatusDaily: 0, // status changes for one registrant; Zoom: 10
	override: {}, // { Light: [perSecond, perDay] } instead of the plan's numbers
	dayMs: 86400000,
	secondMs: 1000,
};

export class Limits {
	constructor(clock) {
		this.clock = clock;
		this.reset();
	}

	reset() {
		this.config = { ...DEFAULTS };
		this.windows = new Map();
	}

	configure(changes) {
		for (const name of Object.keys(changes))
			if (!(name in DEFAULTS))
				throw new Error(`unknown limit ${name}; known: ${Object.keys(DEFAULTS).join(', ')}`);
		if (changes.plan !== undefined && !(changes.plan in PLANS))
			throw new Error(`unknown plan ${changes.plan}; known: ${Object.keys(PLANS).join(', ')}`);
		Object.assign(this.config, changes);
		this.windows.clear();
	}

	/** Uses up one of `limit` in the window of `ms` that `key` is in. How many remain, -1 when none was left. */
	take(key, limit, ms) {
		const start = Math.floor(this.clock() / ms) * ms;
		let window = this.windows.get(key);
		if (!window || window.start !== start) this.windows.set(key, (window = { start, used: 0 }));
		if (window.used >= limit) return -1;
		window.used++;
		return limit - window.used;
	}

	/** The account's limits for a label. Returns {refusal?, headers}: headers go on whatever answer follows. */
	account(label) {
		const { plan, perSecond, daily, override, dayMs, secondMs } = this.config;
		const [second, day] = override[label] ?? PLANS[plan][label];
		let headers = {};
		if (daily && day !== Infinity && day !== null) {
			const remaining = this.take('day:' + label, day, dayMs);
			headers = rateHeaders(label, 'Daily-limit', day, remaining);
			if (remaining < 0)
				return { refusal: tooMany(DAILY, { ...headers, 'Retry-After': isoSeconds(this.nextDay()) }) };
		}
		if (perSecond) {
			const remaining = this.take('second:' + label, second, secondMs);
			headers = rateHeaders(label, 'QPS', second, remaining);
			if (remaining < 0) return { refusal: tooMany(PER_SECOND, headers) };
		}
		return { headers };
	}

	/** 100 creates and updates a host and UTC day. As seen in the wild: no Retry-After, and Remaining looks healthy. */
	host(hostId) {
		const limit = this.config.hostDaily;
		if (!(limit > 0) || this.take('host:' + hostId, limit, this.config.dayMs) >= 0) return undefined;
		return tooMany(
			`You have exceeded the daily rate limit (${limit}) of Meeting Create/Update API requests permitted ` +
				'for this particular user. You may resume these requests at GMT 00:00:00.',
			{ 'X-RateLimit-Category': 'Light', 'X-RateLimit-Limit': '6000', 'X-RateLimit-Remaining': '5893' },
		);
	}

	registrant(meetingId, email) {
		return this.personal('registrant', this.config.registrantDaily, meetingId, email, 'Meeting Registrant Add');
	}

	registrantStatus(meetingId, registrantId) {
		return this.personal(
			'status',
			this.config.registrantStatusDaily,
			meetingId,
			registrantId,
			'Registrant Status Update',
		);
	}

	personal(kind, limit, meetingId, person, what) {
		if (!(limit > 0) || this.take(`${kind}:${meetingId}:${person}`, limit, this.config.dayMs) >= 0)
			return undefined;
		return tooMany(
			`You have exceeded the daily rate limit (${limit}) of ${what} API requests permitted for the registrant. ` +
				'You may resume these requests at GMT 00:00:00.',
			{},
		);
	}

	nextDay() {
		const { dayMs } = this.config;
		return (Math.floor(this.clock() / dayMs) + 1) * dayMs;
	}
}

function tooMany(message, headers) {
	return answer(429, { code: 429, message }, headers);
}

function rateHeaders(category, type, limit, remaining) {
	return {
		'X-RateLimit-Category': category,
		'X-RateLimit-Type': type,
		'X-RateLimit-Limit': String(limit),
		'X-RateLimit-Remaining': String(Math.max(remaining, 0)),
	};
}

/** 2020-05-31T00:00:00Z; a shortened day may end within a second, then the next full one is named. */
function isoSeconds(ms) {
	return new Date(Math.ceil(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}
