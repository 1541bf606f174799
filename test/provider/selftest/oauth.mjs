// Tokens, consent, rotation, revocation.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
	test,
	send,
	zoom,
	bearer,
	control,
	api,
	basic,
	S2S,
	USER_APP,
	tokenRequest,
	login,
	fresh,
	tomorrow,
	create,
	refused,
} from './harness.mjs';

export async function oauthTests() {
	await test('account_credentials by form and by query', async () => {
		const form = await tokenRequest({ grant_type: 'account_credentials', account_id: 'standin-account' });
		assert.equal(form.status, 200);
		assert.equal(form.json.token_type, 'bearer');
		assert.equal(form.json.expires_in, 3600);
		assert.match(form.json.scope, /(^| )meeting:write:meeting:admin( |$)/);
		assert.equal(form.json.api_url, `http://127.0.0.1:${zoom.port}`);
		assert.equal(form.json.refresh_token, undefined);
		const query = await tokenRequest(
			{},
			S2S,
			'/oauth/token?grant_type=account_credentials&account_id=standin-account',
		);
		assert.equal(query.status, 200);
		// Several tokens live side by side.
		for (const token of [form.json.access_token, query.json.access_token])
			assert.equal((await api('GET', '/users/coach@example.com', undefined, { token })).status, 200);
	});
	const tokenErrors = [
		[
			'wrong secret',
			{ grant_type: 'account_credentials', account_id: 'standin-account' },
			basic('standin-s2s-client', 'no'),
			'invalid_client',
		],
		['no Basic', { grant_type: 'account_credentials' }, 'Bearer x', 'invalid_client'],
		['unpadded Basic', { grant_type: 'account_credentials' }, 'Basic YTpi' + 'Yg', 'invalid_client'],
		['no grant', {}, S2S, 'unsupported_grant_type'],
		[
			'a grant of the other kind of app',
			{ grant_type: 'account_credentials', account_id: 'standin-account' },
			USER_APP,
			'unsupported_grant_type',
		],
		[
			'refresh by a server-to-server app',
			{ grant_type: 'refresh_token', refresh_token: 'x' },
			S2S,
			'unsupported_grant_type',
		],
		['wrong account', { grant_type: 'account_credentials', account_id: 'other' }, S2S, 'invalid_request'],
		['unknown refresh token', { grant_type: 'refresh_token', refresh_token: 'x' }, USER_APP, 'invalid_grant'],
		[
			'unknown code',
			{ grant_type: 'authorization_code', code: 'x', redirect_uri: 'https://a.example/' },
			USER_APP,
			'invalid_grant',
		],
	];
	for (const [name, params, who, error] of tokenErrors)
		await test(`token refused: ${name}`, async () => {
			const reply = await tokenRequest(params, who);
			assert.equal(reply.status, 400);
			assert.equal(reply.json.error, error);
			assert.equal(typeof reply.json.reason, 'string');
			assert.equal(reply.json.code, undefined);
		});
	await test('a JSON body is not read by the token endpoint', async () => {
		const reply = await send(zoom, 'POST', '/oauth/token', {
			headers: { authorization: S2S, 'content-type': 'application/json' },
			body: '{"grant_type":"account_credentials"}',
		});
		assert.equal(reply.json.error, 'unsupported_grant_type');
	});

	const REDIRECT = 'https://app.example/back?x=1';
	const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
	const CHALLENGE = createHash('sha256').update(VERIFIER).digest('base64url');
	const consent = async (extra = {}) => {
		const query = new URLSearchParams({
			response_type: 'code',
			client_id: 'standin-user-client',
			redirect_uri: REDIRECT,
			state: 's/1',
			code_challenge: CHALLENGE,
			code_challenge_method: 'S256',
			...extra,
		});
		const reply = await send(zoom, 'GET', `/oauth/authorize?${query}`);
		assert.equal(reply.status, 302, reply.text);
		return new URL(reply.headers.location).searchParams;
	};
	const exchange = (code, changes = {}) =>
		tokenRequest(
			{
				grant_type: 'authorization_code',
				code,
				redirect_uri: REDIRECT,
				code_verifier: VERIFIER,
				...changes,
			},
			USER_APP,
		);
	await test('consent, exchange once, refresh rotates, reuse is counted', async () => {
		await fresh();
		const back = await consent();
		assert.equal(back.get('state'), 's/1');
		assert.equal(back.get('x'), '1');
		const first = await exchange(back.get('code'));
		assert.equal(first.status, 200, first.text);
		assert.equal((await exchange(back.get('code'))).json.error, 'invalid_grant');
		const refresh = (token) => tokenRequest({ grant_type: 'refresh_token', refresh_token: token }, USER_APP);
		const second = await refresh(first.json.refresh_token);
		assert.equal(second.status, 200);
		assert.notEqual(second.json.refresh_token, first.json.refresh_token);
		const again = await refresh(first.json.refresh_token);
		assert.deepEqual([again.status, again.json], [400, { reason: 'Invalid Token!', error: 'invalid_grant' }]);
		assert.equal((await refresh(second.json.refresh_token)).status, 200);
		const { oauth } = await control('GET', 'state');
		assert.deepEqual([oauth.refreshed, oauth.refreshReused], [2, 1]);
	});
	await test('code refused: redirect, verifier, age', async () => {
		const wrongRedirect = (await consent()).get('code');
		assert.equal((await exchange(wrongRedirect, { redirect_uri: REDIRECT + '/' })).json.error, 'invalid_grant');
		assert.equal((await exchange((await consent()).get('code'), { code_verifier: VERIFIER + 'x' })).status, 400);
		assert.equal((await exchange((await consent()).get('code'), { code_verifier: '' })).status, 400);
		const old = (await consent()).get('code');
		await control('POST', 'config', { clockOffsetMs: 5 * 60 * 1000 });
		assert.equal((await exchange(old)).json.error, 'invalid_grant');
		await control('POST', 'config', { clockOffsetMs: 0 });
	});
	await test('consent denied, and a redirect that is not registered', async () => {
		await control('POST', 'config', { consent: { deny: true } });
		assert.equal((await consent()).get('error'), 'access_denied');
		await control('POST', 'config', {
			clients: [{ id: 'standin-user-client', redirectUris: ['https://other.example/'] }],
		});
		const query = new URLSearchParams({
			response_type: 'code',
			client_id: 'standin-user-client',
			redirect_uri: REDIRECT,
		});
		assert.equal((await send(zoom, 'GET', `/oauth/authorize?${query}`)).status, 400);
		await fresh();
	});
	await test('a second consent ends the first grant; a refresh token dies of age', async () => {
		const first = (await exchange((await consent()).get('code'))).json;
		const second = (await exchange((await consent()).get('code'))).json;
		refused(await api('GET', '/users/me', undefined, { token: first.access_token }), 401, 124);
		assert.equal(
			(await tokenRequest({ grant_type: 'refresh_token', refresh_token: first.refresh_token }, USER_APP)).status,
			400,
		);
		await control('POST', 'config', { clockOffsetMs: 91 * 86400000 });
		assert.equal(
			(await tokenRequest({ grant_type: 'refresh_token', refresh_token: second.refresh_token }, USER_APP)).status,
			400,
		);
		await control('POST', 'config', { clockOffsetMs: 0 });
		assert.equal(
			(await tokenRequest({ grant_type: 'refresh_token', refresh_token: second.refresh_token }, USER_APP)).status,
			200,
		);
	});
	await test("a user's app sees its own user and meetings only; me is its word", async () => {
		await fresh();
		const other = await create({}, '/users/host1@example.com/meetings');
		const { access_token: token } = (await exchange((await consent()).get('code'))).json;
		const mine = await api('POST', '/users/me/meetings', { topic: 'Mine', start_time: tomorrow() }, { token });
		assert.equal(mine.status, 201, mine.text);
		assert.equal(mine.json.host_email, 'coach@example.com');
		assert.equal((await api('GET', '/users/me/zak', undefined, { token })).status, 200);
		refused(await api('GET', '/users/host1@example.com', undefined, { token }), 400, 4711);
		refused(await api('GET', `/meetings/${other.id}`, undefined, { token }), 400, 3003);
		refused(await api('GET', '/users', undefined, { token }), 400, 4711);
		refused(await api('GET', '/users/me'), 404, 1001);
	});
	await test('revocation', async () => {
		const grant = (await exchange((await consent()).get('code'))).json;
		const reply = await tokenRequest({ token: grant.access_token }, USER_APP, '/oauth/revoke');
		assert.deepEqual([reply.status, reply.json], [200, { status: 'success' }]);
		refused(
			await api('GET', '/users/me', undefined, { token: grant.access_token }),
			401,
			124,
			/Invalid access token/,
		);
		assert.equal(
			(await tokenRequest({ grant_type: 'refresh_token', refresh_token: grant.refresh_token }, USER_APP)).status,
			400,
		);
	});
	await test('token life, control of tokens', async () => {
		await fresh();
		await control('POST', 'config', { tokenLife: 60 });
		await login();
		await control('POST', 'config', { clockOffsetMs: 61000 });
		refused(await api('GET', '/users'), 401, 124, /^Access token is expired\.$/);
		await control('POST', 'config', { clockOffsetMs: 0 });
		assert.equal((await api('GET', '/users')).status, 200);
		await control('POST', 'tokens', { expire: 'access' });
		refused(await api('GET', '/users'), 401, 124, /expired/);
		await login();
		await control('POST', 'tokens', { revoke: 'all' });
		refused(await api('GET', '/users'), 401, 124, /^Invalid access token\.$/);
		await fresh();
	});
}
