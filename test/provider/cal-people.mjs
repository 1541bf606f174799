// Who may speak to Cal.com: users, API keys, OAuth and managed users' tokens.

import { createHash, randomBytes } from 'node:crypto';
import { answer, authorization, mediaType } from './http.mjs';
import { CalRefusal, invalid, isZone } from './cal-refusal.mjs';

const DAY = 86400000;
const MINUTE = 60000;
/** Every key and token contains a word that a test can search logs and tables for. */
const KEY_WORD = 'STANDIN-CAL-KEY';
const TOKEN_WORD = 'STANDIN-CAL-TOKEN';

export const USERS = [
	{ id: 5, username: 'coach', email: 'coach@example.com', name: 'Coach', timeZone: 'Europe/Berlin' },
	{ id: 6, username: 'host1', email: 'host1@example.com', name: 'Host One', timeZone: 'Europe/London' },
	{ id: 7, username: 'host2', email: 'host2@example.com', name: 'Host Two', timeZone: 'America/New_York' },
];

const CLIENT = { id: 'standin-cal-client', secret: 'standin-cal-secret', redirectUris: [] };

export class CalPeople {
	constructor({ clock }) {
		this.clock = clock;
		this.reset();
	}

	reset() {
		this.users = new Map(USERS.map((user) => [user.id, { ...user }]));
		this.keys = new Map();
		this.tokens = new Map();
		this.refreshes = new Map();
		this.codes = new Map();
		this.clients = new Map([[CLIENT.id, { ...CLIENT }]]);
		this.accessMinutes = 30;
		this.nextManaged = 5000;
		this.managedMinutes = 60;
		this.consent = { user: 'coach@example.com', deny: false };
		this.counters = { exchanged: 0, refreshed: 0, refreshReused: 0, refusedTokens: 0, keysRefreshed: 0, managed: 0, managedRefreshed: 0, managedForced: 0 };
		for (const { id, username } of USERS)
			this.keys.set(`cal_live_${KEY_WORD}-${username}`, { user: id, created: this.clock(), expires: Infinity });
	}

	configure({ calUsers, calClients, accessMinutes, managedMinutes, calConsent }) {
		for (const user of calUsers ?? []) {
			const id = user.id ?? 1000 + this.users.size;
			const username = user.username ?? user.email.split('@')[0];
			this.users.set(id, { id, username, name: username, timeZone: 'UTC', ...user });
			this.keys.set(`cal_live_${KEY_WORD}-${username}`, { user: id, created: this.clock(), expires: Infinity });
		}
		for (const client of calClients ?? []) this.clients.set(client.id, { redirectUris: [], ...client });
		if (accessMinutes !== undefined) this.accessMinutes = accessMinutes;
		if (managedMinutes !== undefined) this.managedMinutes = managedMinutes;
		if (calConsent) Object.assign(this.consent, calConsent);
	}

	/** {kind, user, key} of whoever asks; undefined: nobody said who. */
	identify(headers) {
		const [scheme, bearer] = authorization(headers);
		if (scheme === 'bearer') {
			const key = this.keys.get(bearer);
			if (key) {
				if (key.expires <= this.clock()) throw new CalRefusal(401, 'Your api key is expired.');
				return { kind: 'apiKey', user: this.users.get(key.user), key: bearer };
			}
			const token = this.tokens.get(bearer);
			if (token && token.expires <= this.clock()) throw new CalRefusal(498, 'ACCESS_TOKEN_IS_EXPIRED');
			if (token && !token.revoked) return { kind: 'accessToken', user: this.users.get(token.user), key: bearer };
			throw new CalRefusal(401, bearer.startsWith('cal_') ? 'Your api key is not valid.' : 'Invalid access token.');
		}
		if (headers['x-cal-client-id'] ?? headers['x-cal-secret-key']) {
			const client = this.clients.get(headers['x-cal-client-id']);
			if (!client || client.secret !== headers['x-cal-secret-key'])
				throw new CalRefusal(401, 'Invalid client credentials');
			return { kind: 'client', client, key: client.id };
		}
		return undefined;
	}

	byEmail(email) {
		return [...this.users.values()].find((user) => user.email.toLowerCase() === String(email).toLowerCase());
	}

	byUsername(name) {
		return [...this.users.values()].find((user) => user.username === name);
	}

	me({ actor }) {
		const { id, username, email, name, timeZone } = actor.user;
		return {
			id,
			username,
			email,
			name,
			avatarUrl: null,
			bio: null,
			timeFormat: 24,
			defaultScheduleId: id * 10,
			weekStart: 'Monday',
			timeZone,
			organizationId: null,
		};
	}

	/** The old key is dead when the answer leaves, whether or not it arrives. */
	refreshKey({ actor, body }) {
		if (actor.kind !== 'apiKey') throw new CalRefusal(401, 'An api key is needed to refresh it.');
		const { user } = this.keys.get(actor.key);
		const days = body.apiKeyNeverExpires ? Infinity : (body.apiKeyDaysValid ?? 30);
		this.keys.delete(actor.key);
		const key = `cal_live_${KEY_WORD}-${randomBytes(12).toString('hex')}`;
		this.keys.set(key, { user, created: this.clock(), expires: this.clock() + days * DAY });
		this.counters.keysRefreshed++;
		return { apiKey: key };
	}

	/** The page where a coach agrees; the stand-in's coach clicks at once. */
	authorize({ query }) {
		const client = this.clients.get(query.get('client_id'));
		const redirect = query.get('redirect_uri');
		if (!client || !redirect) throw new CalRefusal(400, 'invalid client_id or redirect_uri');
		if (client.redirectUris.length > 0 && !client.redirectUris.includes(redirect))
			throw new CalRefusal(400, 'redirect_uri_mismatch');
		if (!query.get('scope')) throw new CalRefusal(400, 'invalid_scope');
		if (query.get('code_challenge') && (query.get('code_challenge_method') ?? 'S256') !== 'S256')
			throw new CalRefusal(400, 'only S256 is supported');
		const location = new URL(redirect);
		if (query.get('state')) location.searchParams.set('state', query.get('state'));
		if (this.consent.deny) location.searchParams.set('error', 'access_denied');
		else {
			const code = randomBytes(24).toString('base64url');
			this.codes.set(code, {
				client: client.id,
				user: this.byEmail(this.consent.user).id,
				redirect,
				challenge: query.get('code_challenge'),
				scope: query.get('scope'),
				expires: this.clock() + 10 * MINUTE,
			});
			location.searchParams.set('code', code);
		}
		return answer(302, undefined, { location: location.href });
	}

	/** Exchange and refresh; RFC 6749's own way to refuse. */
	token({ headers, body: bytes }) {
		const refuse = (status, error, description) => {
			this.counters.refusedTokens++;
			return answer(status, { error, error_description: description }, { 'cache-control': 'no-store' });
		};
		let form;
		try {
			form =
				mediaType(headers) === 'application/x-www-form-urlencoded'
					? Object.fromEntries(new URLSearchParams(bytes.toString()))
					: JSON.parse(bytes);
		} catch {
			return refuse(400, 'invalid_request', 'the body cannot be read');
		}
		const client = this.clients.get(form.client_id);
		if (!client) return refuse(401, 'invalid_client', 'client_not_found');
		const verifier = form.code_verifier;
		if (form.client_secret === undefined ? verifier === undefined : form.client_secret !== client.secret)
			return refuse(401, 'invalid_client', 'invalid_client_credentials');
		if (form.grant_type === 'authorization_code') {
			const code = this.codes.get(form.code);
			this.codes.delete(form.code);
			if (!code || code.expires <= this.clock() || code.client !== client.id)
				return refuse(400, 'invalid_grant', 'code_invalid_or_expired');
			if (code.redirect !== form.redirect_uri) return refuse(400, 'invalid_grant', 'redirect_uri_mismatch');
			if (code.challenge && createHash('sha256').update(verifier ?? '').digest('base64url') !== code.challenge)
				return refuse(400, 'invalid_grant', 'pkce_verification_failed');
			this.counters.exchanged++;
			return this.grant(client.id, code.user, code.scope);
		}
		if (form.grant_type === 'refresh_token') {
			const held = this.refreshes.get(form.refresh_token);
			if (!held || held.expires <= this.clock() || held.client !== client.id)
				return refuse(400, 'invalid_grant', 'invalid_refresh_token');
			if (held.used) this.counters.refreshReused++;
			held.used = true;
			this.counters.refreshed++;
			return this.grant(client.id, held.user, held.scope);
		}
		return refuse(400, 'unsupported_grant_type', 'grant_type');
	}

	grant(client, user, scope) {
		const { access, refresh } = this.pair(client, user, scope, this.accessMinutes, 30);
		return answer(
			200,
			{
				access_token: access,
				token_type: 'bearer',
				refresh_token: refresh,
				expires_in: this.accessMinutes * 60,
				scope,
			},
			{ 'cache-control': 'no-store' },
		);
	}

	pair(client, user, scope, minutes, days) {
		const access = `eyJ${TOKEN_WORD}.${randomBytes(24).toString('base64url')}`;
		const refresh = `eyJ${TOKEN_WORD}-REFRESH.${randomBytes(24).toString('base64url')}`;
		this.tokens.set(access, { client, user, expires: this.clock() + minutes * MINUTE });
		this.refreshes.set(refresh, { client, user, scope, expires: this.clock() + days * DAY });
		return { access, refresh };
	}

	// A platform's managed users: deprecated, and still there.

	createManaged({ params, body, actor }) {
		requireClient(actor, params.clientId);
		if (!/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(body.email ?? '')) throw invalid('email', body.email, 'email must be an email');
		if (typeof body.name !== 'string') throw invalid('name', body.name, 'name must be a string');
		if (body.timeZone !== undefined && !isZone(body.timeZone)) throw invalid('timeZone', body.timeZone, 'timeZone must be a valid IANA time-zone');
		const email = tagged(body.email, params.clientId);
		if (this.byEmail(email)) throw new CalRefusal(409, `User with the provided e-mail already exists. Existing user ID=${this.byEmail(email).id}`);
		const id = this.nextManaged++;
		const user = { id, username: `${body.email.split('@')[0]}-${id}`, email, name: body.name, timeZone: body.timeZone ?? 'Europe/London' };
		this.users.set(id, { ...user, client: params.clientId, created: this.clock() });
		this.counters.managed++;
		return { user: this.managedView(id), ...this.managedKeys(id, params.clientId) };
	}

	managedView(id) {
		const { username, email, name, timeZone, created } = this.users.get(id);
		const createdDate = new Date(created).toISOString();
		return { id, username, email, name, timeZone, createdDate, bio: null, weekStart: 'Sunday', timeFormat: 12, defaultScheduleId: null };
	}

	/** By the addresses that were given when they were made. */
	listManaged({ params, query, actor }) {
		requireClient(actor, params.clientId);
		const limit = Number(query.get('limit') ?? 50);
		const offset = Number(query.get('offset') ?? 0);
		if (!(limit >= 1 && limit <= 200)) throw invalid('limit', limit, 'limit must not be greater than 200');
		const emails = query.getAll('emails').flatMap((list) => list.split(',')).map((email) => tagged(email.replaceAll(' ', '+'), params.clientId).toLowerCase());
		return [...this.users.values()]
			.filter(({ client, email }) => client === params.clientId && (emails.length === 0 || emails.includes(email.toLowerCase())))
			.slice(offset, offset + limit)
			.map(({ id }) => this.managedView(id));
	}

	deleteManaged({ params, actor }) {
		requireClient(actor, params.clientId);
		const user = this.users.get(Number(params.userId));
		if (user?.client !== params.clientId) throw new CalRefusal(404, `User with ID ${params.userId} not found`);
		const view = this.managedView(user.id);
		this.users.delete(user.id);
		for (const map of [this.tokens, this.refreshes])
			for (const [key, held] of map) if (held.user === user.id) map.delete(key);
		return view;
	}

	refreshManaged({ params, body, actor, headers }) {
		requireClient(actor ?? this.identify({ ...headers, 'x-cal-client-id': params.clientId }), params.clientId);
		const held = this.refreshes.get(body.refreshToken);
		if (!held || held.used || held.client !== params.clientId || held.expires <= this.clock())
			throw new CalRefusal(401, 'Invalid refresh token');
		held.used = true;
		this.counters.managedRefreshed++;
		return this.managedKeys(held.user, params.clientId);
	}

	forceRefreshManaged({ params, actor }) {
		requireClient(actor, params.clientId);
		const user = this.users.get(Number(params.userId));
		if (user?.client !== params.clientId) throw new CalRefusal(404, `User with ID ${params.userId} not found`);
		this.counters.managedForced++;
		return this.managedKeys(user.id, params.clientId);
	}

	managedKeys(user, client) {
		const { access, refresh } = this.pair(client, user, '', this.managedMinutes, 365);
		return {
			accessToken: access,
			refreshToken: refresh,
			accessTokenExpiresAt: this.tokens.get(access).expires,
			refreshTokenExpiresAt: this.refreshes.get(refresh).expires,
		};
	}

	/** Control: {"expire"|"revoke": "access"|"refresh"|"keys"|"all", "user"?: e-mail}. */
	spoil({ expire, revoke, user }) {
		const what = expire ?? revoke;
		const id = user === undefined ? undefined : this.byEmail(user)?.id;
		const mine = (held) => id === undefined || held.user === id;
		const pick = { access: [this.tokens], refresh: [this.refreshes], keys: [this.keys] };
		for (const map of what === 'all' ? [this.tokens, this.refreshes, this.keys] : pick[what])
			for (const [key, held] of map)
				if (mine(held)) {
					if (revoke) map.delete(key);
					else held.expires = this.clock();
				}
	}

	spoilToken(headers, how) {
		const [, bearer] = authorization(headers);
		const held = this.tokens.get(bearer) ?? this.keys.get(bearer);
		if (!held) return;
		if (how === 'expire_token') held.expires = this.clock();
		else {
			this.tokens.delete(bearer);
			this.keys.delete(bearer);
		}
	}
}

/** anna@example.com is kept as anna+CLIENT@example.com. */
function tagged(email, client) {
	const [name, domain] = email.split('@');
	return `${name}+${client}@${domain}`;
}

function requireClient(actor, id) {
	if (actor?.kind !== 'client' || actor.client.id !== id) throw new CalRefusal(401, 'Invalid client credentials');
}
