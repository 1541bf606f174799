// Zoom's OAuth: server-to-server tokens, the user's consent with PKCE, rotating refresh tokens, revocation.

import { createHash, randomBytes } from 'node:crypto';
import { answer, authorization, mediaType } from './http.mjs';
import { OPERATIONS } from './zoom-fields.mjs';

const CODE_LIFE_MS = 5 * 60 * 1000;
const REFRESH_LIFE_MS = 90 * 24 * 3600 * 1000;

/** A server-to-server app holds the :admin scopes of the account, a user's app those without. */
const ADMIN_SCOPES = OPERATIONS.map((operation) => operation.scopes.at(-1));
const USER_SCOPES = OPERATIONS.map((operation) => operation.scopes[0]).filter((scope) => !scope.endsWith(':admin'));

const DEFAULT_CLIENTS = [
	{
		id: 'standin-s2s-client',
		secret: 'standin-s2s-secret',
		type: 's2s',
		account: 'standin-account',
		owner: 'coach@example.com',
	},
	{
		id: 'standin-user-client',
		secret: 'standin-user-secret',
		type: 'user',
		account: 'standin-account',
		redirectUris: [],
	},
];

export class OAuth {
	constructor({ clock, settings }) {
		Object.assign(this, { clock, settings });
		this.reset();
	}

	reset() {
		this.clients = new Map(DEFAULT_CLIENTS.map((client) => [client.id, { ...client }]));
		this.tokenLife = 3600;
		this.refreshLifeMs = REFRESH_LIFE_MS;
		this.scopes = { s2s: ADMIN_SCOPES, user: USER_SCOPES };
		this.consent = { user: 'coach@example.com', deny: false };
		this.apiUrl = undefined;
		this.access = new Map(); // token -> { client, kind, user, scopes, expires, revoked }
		this.refresh = new Map(); // token -> { grant, client, user, expires, used }
		this.codes = new Map(); // code -> { client, user, redirectUri, challenge, method, expires, used }
		this.counters = {
			issued: 0,
			s2s: 0,
			authorizationCode: 0,
			refreshed: 0,
			refreshReused: 0,
			refused: 0,
			revoked: 0,
			authorized: 0,
		};
	}

	handle(call) {
		const route = `${call.method} ${call.path}`;
		call.entry.route = route;
		if (route === 'GET /oauth/authorize') return this.authorize(call);
		if (route !== 'POST /oauth/token' && route !== 'POST /oauth/revoke')
			return answer(404, { code: 2300, message: 'This API endpoint is not recognized.' });

		const client = this.authenticate(call.headers);
		if (!client) return this.refuse('invalid_client', 'Invalid client_id or client_secret');
		const params = parameters(call);
		return route === 'POST /oauth/token' ? this.token(client, params) : this.revoke(client, params);
	}

	/** Client credentials only in Basic, as standard base64 with padding. */
	authenticate(headers) {
		const [scheme, encoded] = authorization(headers);
		if (scheme !== 'basic' || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded) || encoded.length % 4 !== 0) return undefined;
		const pair = Buffer.from(encoded, 'base64').toString();
		const colon = pair.indexOf(':');
		const client = this.clients.get(pair.slice(0, colon));
		return client && client.secret === pair.slice(colon + 1) ? client : undefined;
	}

	token(client, params) {
		const grant = params.get('grant_type');
		const s2s = client.type === 's2s';
		if (grant === 'account_credentials' && s2s) {
			// Wording for a wrong account is not recorded anywhere; what counts is the 400 and the shape.
			if (params.get('account_id') !== client.account) return this.refuse('invalid_request', 'Bad Request');
			this.counters.s2s++;
			return answer(200, this.issue(client, 's2s', client.owner));
		}
		if (grant === 'authorization_code' && !s2s) return this.exchange(client, params);
		if (grant === 'refresh_token' && !s2s) return this.rotate(client, params.get('refresh_token'));
		return this.refuse('unsupported_grant_type', 'unsupported grant type');
	}

	exchange(client, params) {
		const code = this.codes.get(params.get('code'));
		if (!code || code.client !== client.id || code.used || code.expires <= this.clock())
			return this.refuse('invalid_grant', 'Invalid authorization code');
		if (params.get('redirect_uri') !== code.redirectUri)
			return this.refuse('invalid_grant', 'Redirect URI mismatch');
		if (!verifies(code, params.get('code_verifier'))) return this.refuse('invalid_grant', 'Invalid code verifier');
		code.used = true;
		// A second consent of the same user ends what the first one gave (4741).
		this.endGrants((held) => held.client === client.id && held.user === code.user);
		this.counters.authorizationCode++;
		return answer(200, this.issueWithRefresh(client, code.user));
	}

	/** The newest refresh token only, once. A lost answer loses the grant, as at Zoom. */
	rotate(client, token) {
		const held = this.refresh.get(token);
		if (held?.used && held.client === client.id) this.counters.refreshReused++;
		if (!held || held.used || held.revoked || held.client !== client.id || held.expires <= this.clock())
			return this.refuse('invalid_grant', 'Invalid Token!');
		held.used = true;
		this.counters.refreshed++;
		return answer(200, this.issueWithRefresh(client, held.user));
	}

	revoke(client, params) {
		const held = this.access.get(params.get('token'));
		if (!held || held.client !== client.id) return this.refuse('invalid_grant', 'Invalid Token!');
		if (held.kind === 'user') this.endGrants((other) => other.client === client.id && other.user === held.user);
		held.revoked = true;
		this.counters.revoked++;
		return answer(200, { status: 'success' });
	}

	/** The consent page, already clicked: redirects at once with what config.consent says. */
	authorize({ query, entry }) {
		const client = this.clients.get(query.get('client_id'));
		const redirectUri = query.get('redirect_uri');
		const known = client?.redirectUris;
		if (
			!client ||
			client.type !== 'user' ||
			!parses(redirectUri) ||
			(known.length > 0 && !known.includes(redirectUri))
		)
			return answer(400, 'Invalid redirect or client (4700)');
		const target = new URL(redirectUri);
		entry.accepted = true;
		if (query.get('state') !== null) target.searchParams.set('state', query.get('state'));
		const method = query.get('code_challenge_method') ?? 'plain';
		if (query.get('response_type') !== 'code' || !['S256', 'plain'].includes(method))
			target.searchParams.set('error', 'invalid_request');
		else if (this.consent.deny) target.searchParams.set('error', 'access_denied');
		else {
			const code = 'code-' + randomBytes(16).toString('base64url');
			this.codes.set(code, {
				client: client.id,
				user: this.consent.user,
				redirectUri,
				method,
				challenge: query.get('code_challenge'),
				expires: this.clock() + CODE_LIFE_MS,
				used: false,
			});
			this.counters.authorized++;
			target.searchParams.set('code', code);
		}
		return answer(302, undefined, { location: target.href });
	}

	issueWithRefresh(client, user) {
		const token = 'refresh-' + randomBytes(48).toString('base64url');
		this.refresh.set(token, { client: client.id, user, expires: this.clock() + this.refreshLifeMs, used: false });
		return { ...this.issue(client, 'user', user), refresh_token: token };
	}

	issue(client, kind, user) {
		const scopes = this.scopes[kind];
		const now = this.clock();
		const token = jwtLike({
			ver: 10,
			aud: 'https://oauth.zoom.us',
			uid: user,
			aid: client.account,
			iat: Math.floor(now / 1000),
		});
		this.access.set(token, {
			client: client.id,
			kind,
			user,
			scopes,
			expires: now + this.tokenLife * 1000,
			revoked: false,
		});
		this.counters.issued++;
		return {
			access_token: token,
			token_type: 'bearer',
			expires_in: this.tokenLife,
			scope: scopes.join(' '),
			api_url: this.apiUrl ?? this.settings.origin,
		};
	}

	/** The token behind a request, or the 124 answer. */
	check(headers) {
		const [scheme, token] = authorization(headers);
		const held = scheme === 'bearer' ? this.access.get(token) : undefined;
		if (!held || held.revoked) return { refusal: answer(401, { code: 124, message: 'Invalid access token.' }) };
		if (held.expires <= this.clock())
			return { refusal: answer(401, { code: 124, message: 'Access token is expired.' }) };
		return { held };
	}

	/** Faults: the token of this very request expires or is revoked before it is looked at. */
	spoilToken(headers, how) {
		const held = this.access.get(authorization(headers)[1]);
		if (held && how === 'expire_token') held.expires = 0;
		else if (held) held.revoked = true;
	}

	/** POST /_control/tokens {expire|revoke: 'access'|'refresh'|'all', user?}. */
	spoil({ expire, revoke, user }) {
		const what = expire ?? revoke;
		if (!['access', 'refresh', 'all'].includes(what))
			throw new Error('give "expire" or "revoke": "access", "refresh" or "all"');
		let spoiled = 0;
		for (const [kind, store] of [
			['access', this.access],
			['refresh', this.refresh],
		]) {
			for (const held of store.values()) {
				if ((what !== 'all' && what !== kind) || (user && held.user !== user)) continue;
				if (expire) held.expires = 0;
				else held.revoked = true;
				spoiled++;
			}
		}
		return { spoiled };
	}

	endGrants(matches) {
		for (const store of [this.access, this.refresh])
			for (const held of store.values()) if (matches(held)) held.revoked = true;
	}

	refuse(error, reason) {
		this.counters.refused++;
		return answer(400, { reason, error });
	}

	configure({ clients, tokenLife, refreshLifeSeconds, scopes, consent, apiUrl }) {
		for (const client of clients ?? [])
			this.clients.set(client.id, {
				type: 's2s',
				account: 'standin-account',
				redirectUris: [],
				...this.clients.get(client.id),
				...client,
			});
		if (tokenLife !== undefined) this.tokenLife = tokenLife;
		if (refreshLifeSeconds !== undefined) this.refreshLifeMs = refreshLifeSeconds * 1000;
		if (scopes !== undefined)
			this.scopes = { ...this.scopes, ...(Array.isArray(scopes) ? { s2s: scopes, user: scopes } : scopes) };
		if (consent !== undefined) this.consent = { ...this.consent, ...consent };
		if (apiUrl !== undefined) this.apiUrl = apiUrl;
	}

	config() {
		const { tokenLife, refreshLifeMs, scopes, consent, apiUrl } = this;
		const clients = [...this.clients.values()].map(({ secret, ...rest }) => rest);
		return { tokenLife, refreshLifeSeconds: refreshLifeMs / 1000, scopes, consent, apiUrl, clients };
	}
}

/** Parameters from the query or a form body; a JSON body is not read, as at Zoom. */
function parameters({ query, headers, body }) {
	const params = new URLSearchParams(query);
	if (mediaType(headers) === 'application/x-www-form-urlencoded')
		for (const [name, value] of new URLSearchParams(body.toString())) params.set(name, value);
	return params;
}

function verifies({ challenge, method }, verifier) {
	if (challenge === null) return true;
	if (!/^[A-Za-z0-9._~-]{43,128}$/.test(verifier ?? '')) return false;
	return challenge === (method === 'S256' ? createHash('sha256').update(verifier).digest('base64url') : verifier);
}

function parses(url) {
	try {
		return Boolean(new URL(url));
	} catch {
		return false;
	}
}

/** Looks and weighs like Zoom's JWT; the "signature" is noise that only this process knows. */
function jwtLike(claims) {
	const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
	return `${part({ alg: 'HS512', v: '2.0' })}.${part(claims)}.${randomBytes(384).toString('base64url')}`;
}
