// Zoom's users: who can host, and their tokens to start a meeting.

import { createHash, randomBytes } from 'node:crypto';
import { answer } from './http.mjs';
import { Refusal, badField } from './zoom-refusal.mjs';
import { page } from './zoom-page.mjs';

const DEFAULT_USERS = [
	{ email: 'coach@example.com', first_name: 'Cora', last_name: 'Coach' },
	{ email: 'host1@example.com', first_name: 'Hanna', last_name: 'One' },
	{ email: 'host2@example.com', first_name: 'Hugo', last_name: 'Two' },
	{ email: 'basic@example.com', first_name: 'Bo', last_name: 'Basic', type: 1 },
	{ email: 'pending@example.com', first_name: 'Penny', last_name: 'Pending', status: 'pending' },
];
/** Zoom answers so, with 200, to whoever forgets type=zak. */
const NO_TOKEN = 'Token is no longer supported. Please use ZAK instead.';
const MAX_TTL = 365 * 24 * 3600;

export class Users {
	constructor({ clock }) {
		this.clock = clock;
		this.reset();
	}

	reset() {
		this.s2sMe = false;
		this.byKey = new Map();
		this.all = [];
		for (const user of DEFAULT_USERS) this.put(user);
	}

	/** Adds a user or changes the one with this e-mail. Ids are derived from the e-mail, so they outlive a reset. */
	put(changes) {
		if (!changes.email) throw new Error('a user needs an email');
		const known = this.byKey.get(changes.email.toLowerCase());
		const digest = createHash('sha256').update(changes.email).digest();
		const user = Object.assign(
			known ?? {
				id: digest.subarray(0, 16).toString('base64url'),
				first_name: '',
				last_name: '',
				type: 2,
				status: 'active',
				timezone: 'UTC',
				pmi: 2000000000 + (digest.readUInt32BE(16) % 1000000000),
				use_pmi: false,
				waiting_room: false,
				require_passcode: true,
				passcode_locked: false,
				passcode_min_length: 0,
				can_schedule_for: [],
			},
			changes,
		);
		if (!known) this.all.push(user);
		for (const key of [user.id, user.email.toLowerCase(), String(user.pmi)]) this.byKey.set(key, user);
		return user;
	}

	configure({ users, s2sMe }) {
		for (const user of users ?? []) this.put(user);
		if (s2sMe !== undefined) this.s2sMe = s2sMe;
	}

	config() {
		return { users: this.all, s2sMe: this.s2sMe };
	}

	find(key) {
		const user = this.byKey.get(key) ?? this.byKey.get(key.toLowerCase());
		return user && !/^\d+$/.test(key) ? user : undefined;
	}

	byPmi(pmi) {
		const user = this.byKey.get(pmi);
		return user && String(user.pmi) === pmi ? user : undefined;
	}

	/**
	 * The user a path names, as the bearer may see them. `me` belongs to a user's app; whether a server-to-server
	 * app may say it is not documented, so it is refused unless s2sMe is set.
	 */
	resolve(key, held) {
		const own = this.find(held.user);
		const user = key === 'me' ? (held.kind === 'user' || this.s2sMe ? own : undefined) : this.find(key);
		if (!user) throw new Refusal(404, 1001, `User does not exist: ${key}.`);
		if (held.kind === 'user' && user !== own)
			throw new Refusal(400, 4711, 'Invalid access token, does not contain scopes:[:admin].');
		return user;
	}

	listUsers({ query }) {
		const status = query.get('status') ?? 'active';
		if (!['active', 'inactive', 'pending'].includes(status)) throw badField('status');
		const users = this.all.filter((user) => user.status === status);
		const { items, ...frame } = page(users, query, { max: 2000, scope: 'users:' + status, now: this.clock() });
		return answer(200, { ...frame, users: items.map(listed) });
	}

	getUser({ params, held }) {
		const user = this.resolve(params.userId, held);
		if (user.status === 'pending')
			throw new Refusal(400, 1120, 'A valid invitation to join the Zoom account was not found for this user.');
		return answer(200, {
			...listed(user),
			account_id: 'standin-account',
			use_pmi: user.use_pmi,
			language: 'en-US',
			personal_meeting_url: `https://us05web.zoom.us/j/${user.pmi}`,
		});
	}

	userToken({ params, query, held }) {
		const user = this.resolve(params.userId, held);
		const type = query.get('type') ?? 'token';
		const ttl = query.get('ttl') ?? '7200';
		if (!['token', 'zak', 'onbehalf'].includes(type)) throw badField('type');
		if (!/^\d+$/.test(ttl) || Number(ttl) > MAX_TTL) throw badField('ttl');
		return answer(200, { token: type === 'token' ? NO_TOKEN : zak(user) });
	}

	myZak({ held }) {
		return answer(200, { token: zak(this.resolve('me', held)) });
	}
}

/** A token that starts meetings as the host. The fixed word in it lets a test search logs and tables for leaks. */
export function zak(user) {
	return `STANDIN-ZAK-SECRET.${user.id}.${randomBytes(24).toString('base64url')}`;
}

function listed(user) {
	const { id, email, first_name, last_name, type, status, timezone, pmi } = user;
	return {
		// A pending user has no id yet.
		...(status === 'pending' ? {} : { id }),
		email,
		first_name,
		last_name,
		display_name: `${first_name} ${last_name}`.trim(),
		type,
		status,
		timezone,
		pmi,
		verified: 1,
		role_id: '2',
	};
}
