// Each fault, before and after acting.

import assert from 'node:assert/strict';
import {
	test,
	start,
	sleep,
	send,
	zoom,
	control,
	api,
	tokenRequest,
	login,
	fresh,
	tomorrow,
	COACH,
	refused,
	fails,
} from './harness.mjs';

export async function faultTests() {
	const fault = (kind, more = {}) =>
		control('POST', 'faults', { match: { method: 'POST', path: '/meetings$' }, kind, ...more });
	const attempt = (options) => api('POST', COACH, { start_time: tomorrow(), agenda: 'dibs:f' }, options);
	const made = async () => (await control('GET', 'state')).meetingsEver;

	for (const [when, count] of [
		['before', 0],
		['after', 1],
	]) {
		await test(`reset ${when} acting`, async () => {
			await fresh();
			await fault('reset', { when });
			await fails(attempt());
			const entry = (await control('GET', 'log?method=POST&path=meetings')).entries[0];
			assert.deepEqual([entry.answered, entry.faults], [false, [`reset ${when}`]]);
			assert.equal(await made(), count);
			assert.equal((await attempt()).status, 201);
		});
		await test(`timeout ${when} acting`, async () => {
			await fresh();
			await fault('timeout', { when });
			await fails(attempt({ timeout: 150 }), /timed out/);
			assert.equal(await made(), count);
		});
		await test(`status ${when} acting`, async () => {
			await fresh();
			await fault('status', {
				when,
				status: 502,
				body: '<html>Bad gateway</html>',
				headers: { 'retry-after': '7' },
			});
			const reply = await attempt();
			assert.deepEqual(
				[reply.status, reply.text, reply.headers['retry-after']],
				[502, '<html>Bad gateway</html>', '7'],
			);
			assert.match(reply.headers['content-type'], /html/);
			assert.equal(await made(), count);
		});
		await test(`delay ${when} acting`, async () => {
			await fresh();
			await fault('delay', { when, ms: 200 });
			const start = Date.now();
			const pending = attempt();
			await sleep(120);
			assert.equal(await made(), count);
			assert.equal((await pending).status, 201);
			assert.ok(Date.now() - start >= 200);
		});
		await test(`redirect ${when} acting`, async () => {
			await fresh();
			await fault('redirect', { when, status: 307, location: 'http://127.0.0.1:9/x' });
			const reply = await attempt();
			assert.deepEqual([reply.status, reply.headers.location], [307, 'http://127.0.0.1:9/x']);
			assert.equal(await made(), count);
		});
	}
	await test('a hanging request ends when faults are cleared', async () => {
		await fresh();
		await fault('timeout');
		const pending = fails(attempt());
		await sleep(50);
		await control('DELETE', 'faults');
		await pending;
		assert.equal((await control('GET', 'state')).counters.inFlight, 0);
	});
	await test('truncated', async () => {
		await fault('truncate');
		await fails(attempt());
		assert.equal(await made(), 1);
	});
	await test('garbage, and JSON of another kind', async () => {
		await fault('garbage', { bytes: 64 });
		const noise = await attempt();
		assert.deepEqual([noise.status, noise.bytes.length, noise.json], [201, 64, undefined]);
		await fault('json', { status: 200, body: { hello: ['world'] } });
		const wrong = await attempt();
		assert.deepEqual([wrong.status, wrong.json], [200, { hello: ['world'] }]);
	});
	await test('drip', async () => {
		await fault('drip', { chunk: 200, ms: 20 });
		const start = Date.now();
		const reply = await attempt();
		assert.equal(reply.status, 201);
		assert.ok(reply.json.id && Date.now() - start >= 100);
	});
	await test('huge, 100 MB of JSON by default', async () => {
		await fault('huge');
		const reply = await attempt();
		assert.ok(reply.bytes.length >= 100 * 1024 * 1024);
		await fault('huge', { bytes: 100000 });
		assert.equal((await attempt()).json.id, 1);
	});
	await test('the token of this request expires, is revoked', async () => {
		await fault('expire_token');
		refused(await attempt(), 401, 124, /expired/);
		await login();
		await fault('revoke_token');
		refused(await attempt(), 401, 124, /Invalid/);
		await login();
		assert.equal((await attempt()).status, 201);
	});
	await test('times, skip, array, list, removal by id', async () => {
		await fresh();
		await control('POST', 'faults', [
			{ kind: 'status', status: 500, times: 2, skip: 1, match: { path: '/users$' } },
			{ kind: 'status', status: 503, times: 0, match: { path: '/users/coach' } },
		]);
		const statuses = [];
		for (let i = 0; i < 4; i++) statuses.push((await api('GET', '/users')).status);
		assert.deepEqual(statuses, [200, 500, 500, 200]);
		const { rules } = await control('GET', 'faults');
		assert.deepEqual(
			rules.map(({ hits }) => hits),
			[2, 0],
		);
		assert.equal((await api('GET', '/users/coach@example.com')).status, 503);
		await control('DELETE', `faults/${rules[1].id}`);
		assert.equal((await api('GET', '/users/coach@example.com')).status, 200);
	});
	await test('a seeded die falls the same way twice', async () => {
		const run = async () => {
			await fresh();
			await control('POST', 'faults', {
				kind: 'status',
				status: 500,
				probability: 0.3,
				seed: 42,
				match: { path: '/users$' },
			});
			const statuses = [];
			for (let i = 0; i < 40; i++) statuses.push((await api('GET', '/users')).status);
			return statuses;
		};
		const first = await run();
		assert.deepEqual(await run(), first);
		const struck = first.filter((status) => status === 500).length;
		assert.ok(struck > 3 && struck < 25, String(struck));
	});
	await test('faults that make no sense are refused', async () => {
		for (const rule of [
			{ kind: 'nonsense' },
			{ kind: 'status' },
			{ kind: 'garbage', when: 'before' },
			{ kind: 'expire_token', when: 'after' },
			{ kind: 'delay', when: 'later' },
			{ kind: 'delay', probability: 2 },
			{ kind: 'delay', match: { path: '(' } },
		])
			assert.equal(
				(await send(zoom, 'POST', '/_control/faults', { body: JSON.stringify(rule) })).status,
				400,
				JSON.stringify(rule),
			);
	});
	await test('the OAuth endpoints suffer faults too', async () => {
		await fresh();
		await control('POST', 'faults', { kind: 'reset', when: 'after', match: { path: '^/oauth/token' } });
		await fails(tokenRequest({ grant_type: 'account_credentials', account_id: 'standin-account' }));
		assert.equal((await control('GET', 'state')).oauth.s2s, 2);
	});
}
