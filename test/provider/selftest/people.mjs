// Registrants, invite links, users; and the limits.

import assert from 'node:assert/strict';
import { test, sleep, control, api, login, fresh, tomorrow, COACH, create, refused } from './harness.mjs';

export async function peopleTests() {
	await test('registrants: add, list, approve, delete', async () => {
		const { id } = await create({ settings: { approval_type: 0 } });
		const added = await api('POST', `/meetings/${id}/registrants`, { email: 'Ann@Example.com', first_name: 'Ann' });
		assert.equal(added.status, 201, added.text);
		assert.match(added.json.join_url, /STANDIN-JOIN-SECRET/);
		const again = await api('POST', `/meetings/${id}/registrants`, { email: 'ann@example.com', first_name: 'Ann' });
		assert.equal(again.json.registrant_id, added.json.registrant_id);
		assert.equal((await api('GET', `/meetings/${id}/registrants`)).json.registrants.length, 1);
		assert.equal((await api('DELETE', `/meetings/${id}/registrants/${added.json.registrant_id}`)).status, 204);
		refused(await api('DELETE', `/meetings/${id}/registrants/${added.json.registrant_id}`), 400, 300);
		const manual = await create({ settings: { approval_type: 1 } });
		const waiting = await api('POST', `/meetings/${manual.id}/registrants`, {
			email: 'b@example.com',
			first_name: 'B',
		});
		assert.equal(waiting.json.join_url, undefined);
		assert.equal(
			(await api('GET', `/meetings/${manual.id}/registrants?status=pending`)).json.registrants.length,
			1,
		);
		const approve = { action: 'approve', registrants: [{ id: waiting.json.registrant_id }] };
		assert.equal((await api('PUT', `/meetings/${manual.id}/registrants/status`, approve)).status, 204);
		assert.match(
			(await api('GET', `/meetings/${manual.id}/registrants`)).json.registrants[0].join_url,
			/STANDIN-JOIN-SECRET/,
		);
	});
	await test('registrants refused', async () => {
		const closed = await create();
		refused(
			await api('POST', `/meetings/${closed.id}/registrants`, { email: 'a@example.com', first_name: 'A' }),
			404,
			300,
		);
		const { id } = await create({ settings: { approval_type: 0 } });
		for (const body of [
			{ email: 'a@example.com' },
			{ first_name: 'A' },
			{ email: 'a', first_name: 'A' },
			{ email: 'a@example.com', first_name: '' },
			{ email: 'a@example.com', first_name: 'x'.repeat(65) },
			{ email: 'a@example.com', first_name: 'A', age: 4 },
		])
			refused(await api('POST', `/meetings/${id}/registrants`, body), 400, 300);
		refused(
			await api('POST', '/meetings/12345678901/registrants', { email: 'a@example.com', first_name: 'A' }),
			404,
			1001,
		);
		refused(await api('PUT', `/meetings/${id}/registrants/status`, { action: 'maybe' }), 400, 300);
		refused(
			await api('PUT', `/meetings/${id}/registrants/status`, {
				action: 'approve',
				registrants: [{ id: 'nobody' }],
			}),
			400,
			300,
		);
		refused(
			await api('PUT', `/meetings/${id}/registrants/status`, {
				action: 'deny',
				registrants: Array(31).fill({ id: 'x' }),
			}),
			400,
			300,
		);
		refused(await api('GET', `/meetings/${id}/registrants?status=all`), 400, 300);
		await control('POST', 'config', { maxRegistrants: 1 });
		assert.equal(
			(await api('POST', `/meetings/${id}/registrants`, { email: 'a@example.com', first_name: 'A' })).status,
			201,
		);
		refused(
			await api('POST', `/meetings/${id}/registrants`, { email: 'b@example.com', first_name: 'B' }),
			400,
			3043,
		);
	});
	await test('invite links', async () => {
		const { id } = await create();
		const links = await api('POST', `/meetings/${id}/invite_links`, {
			attendees: [{ name: 'A' }, { name: 'B' }],
			ttl: 0,
		});
		assert.equal(links.status, 201, links.text);
		assert.equal(new Set(links.json.attendees.map(({ join_url }) => join_url)).size, 2);
		for (const body of [
			{ attendees: [{}] },
			{ attendees: [] },
			{ attendees: [{ name: 'x'.repeat(65) }] },
			{ ttl: 7776001 },
			{ attendees: [{ name: 'A', email: 'x' }] },
		])
			refused(await api('POST', `/meetings/${id}/invite_links`, body), 400, 300);
	});
	await test('users and their tokens', async () => {
		const list = (await api('GET', '/users')).json;
		assert.equal(list.users.length, 4);
		const pending = (await api('GET', '/users?status=pending')).json;
		assert.equal(pending.users[0].id, undefined);
		assert.equal((await api('GET', `/users/${list.users[0].id}`)).json.email, 'coach@example.com');
		refused(await api('GET', '/users/nobody'), 404, 1001);
		refused(await api('GET', '/users/pending@example.com'), 400, 1120);
		refused(await api('GET', '/users?status=old'), 400, 300);
		const zak = (await api('GET', '/users/coach@example.com/token?type=zak&ttl=60')).json.token;
		assert.match(zak, /^STANDIN-ZAK-SECRET/);
		assert.match((await api('GET', '/users/coach@example.com/token')).json.token, /no longer supported/);
		refused(await api('GET', '/users/coach@example.com/token?type=key'), 400, 300);
		refused(await api('GET', '/users/coach@example.com/token?type=zak&ttl=long'), 400, 300);
		refused(await api('GET', '/users/me/zak'), 404, 1001);
		await control('POST', 'config', { s2sMe: true });
		assert.equal((await api('GET', '/users/me/zak')).status, 200);
		await fresh();
	});
}

export async function limitTests() {
	await test('off by default', async () => {
		const replies = await Promise.all(
			Array.from({ length: 120 }, () => api('POST', COACH, { start_time: tomorrow() })),
		);
		assert.ok(replies.every(({ status }) => status === 201));
		assert.equal(replies[0].headers['x-ratelimit-category'], undefined);
	});
	await test('100 creates and updates a host and day', async () => {
		await control('POST', 'config', { limits: { hostDaily: 5 } });
		const { id } = await create();
		for (let i = 0; i < 4; i++)
			assert.equal((await api('PATCH', `/meetings/${id}`, { topic: `t${i}` })).status, 204);
		const over = await api('POST', COACH, { start_time: tomorrow() });
		refused(
			over,
			429,
			429,
			/^You have exceeded the daily rate limit \(5\) of Meeting Create\/Update API requests .* at GMT 00:00:00\.$/,
		);
		assert.equal(over.headers['retry-after'], undefined);
		assert.equal(over.headers['x-ratelimit-type'], undefined);
		refused(await api('PATCH', `/meetings/${id}`, { topic: 'x' }), 429, 429);
		await create({}, '/users/host1@example.com/meetings');
		assert.equal((await api('DELETE', `/meetings/${id}`)).status, 204);
		await control('POST', 'config', { limits: { hostDaily: 1, dayMs: 600 } });
		await sleep(600 - (Date.now() % 600) + 10);
		await create();
		refused(await api('POST', COACH, { start_time: tomorrow() }), 429, 429);
		await sleep(600);
		await create();
	});
	await test('a second, by label and plan', async () => {
		await fresh();
		await control('POST', 'config', { limits: { perSecond: true, plan: 'free', secondMs: 3600000 } });
		for (let i = 0; i < 4; i++) {
			const reply = await api('GET', '/users/coach@example.com');
			assert.deepEqual(
				['category', 'type', 'limit', 'remaining'].map((name) => reply.headers['x-ratelimit-' + name]),
				['Light', 'QPS', '4', String(3 - i)],
			);
		}
		const over = await api('GET', '/users/coach@example.com');
		refused(
			over,
			429,
			429,
			/^You have reached the maximum per-second rate limit for this API\. Try again later\.$/,
		);
		assert.equal(over.headers['retry-after'], undefined);
		assert.equal((await api('GET', '/users')).headers['x-ratelimit-category'], 'Medium');
		assert.equal((await api('GET', '/users')).status, 200);
		refused(await api('GET', '/users'), 429, 429);
	});
	await test("the account's day has Retry-After as a timestamp", async () => {
		await fresh();
		await control('POST', 'config', { limits: { daily: true, override: { Light: [100, 1] } } });
		assert.equal((await api('GET', '/users/coach@example.com')).headers['x-ratelimit-type'], 'Daily-limit');
		const over = await api('GET', '/users/coach@example.com');
		refused(
			over,
			429,
			429,
			/^You have reached the maximum daily rate limit for this API\. Refer to the response header/,
		);
		assert.match(over.headers['retry-after'], /^\d{4}-\d\d-\d\dT00:00:00Z$/);
		assert.ok(Date.parse(over.headers['retry-after']) > Date.now());
		await control('POST', 'config', { clockOffsetMs: 86400000 });
		await login();
		assert.equal((await api('GET', '/users/coach@example.com')).status, 200);
	});
	await test('a registrant: three adds, ten changes', async () => {
		await fresh();
		await control('POST', 'config', { limits: { registrantDaily: 3, registrantStatusDaily: 1 } });
		const { id } = await create({ settings: { approval_type: 0 } });
		const add = () => api('POST', `/meetings/${id}/registrants`, { email: 'a@example.com', first_name: 'A' });
		for (let i = 0; i < 3; i++) assert.equal((await add()).status, 201);
		refused(await add(), 429, 429);
		const deny = () =>
			api('PUT', `/meetings/${id}/registrants/status`, {
				action: 'deny',
				registrants: [{ email: 'a@example.com' }],
			});
		assert.equal((await deny()).status, 204);
		refused(await deny(), 429, 429);
		await fresh();
	});
}
