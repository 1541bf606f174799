// Cal.com's API: versions, dropped fields, limits, bookings and what they send.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { control, fresh, lastEntry, send, specDir, test, zoom } from './harness.mjs';

const KEY = 'cal_live_STANDIN-CAL-KEY-coach';
const V = { bookings: '2024-08-13', 'event-types': '2024-06-14', slots: '2024-09-04' };
const HOUR = 3600000;

export async function calTests() {
	const cal = (method, path, body, { key = KEY, version = V[path.split(/[/?]/)[1]], headers = {} } = {}) =>
		send(zoom, method, '/cal/v2' + path, {
			headers: {
				...(key ? { authorization: `Bearer ${key}` } : {}),
				...(version ? { 'cal-api-version': version } : {}),
				...(body === undefined ? {} : { 'content-type': 'application/json' }),
				...headers,
			},
			body: body === undefined ? undefined : JSON.stringify(body),
		});
	const day = (hours) => new Date(Math.ceil(Date.now() / HOUR) * HOUR + hours * HOUR).toISOString();
	const attendee = (name) => ({ name, email: `${name.toLowerCase()}@example.com`, timeZone: 'Europe/Paris' });
	const book = async (fields = {}, options) => {
		const reply = await cal('POST', '/bookings', { eventTypeId: 50, start: day(24), attendee: attendee('Ann'), ...fields }, options);
		assert.equal(reply.status, 201, reply.text);
		return reply.json.data;
	};
	const no = (reply, status, pattern) => {
		assert.equal(reply.status, status, reply.text);
		assert.equal(reply.json.status, 'error');
		if (pattern) assert.match(reply.json.error.message, pattern);
	};
	const outbox = async (since = 0) => (await control('GET', `cal/outbox?since=${since}`)).deliveries;
	const hook = async (more = {}) =>
		(await cal('POST', '/webhooks', { active: true, subscriberUrl: 'https://app.example.com/hook', triggers: ALL, secret: 's3', ...more })).json.data;
	const ALL = [
		'BOOKING_CREATED',
		'BOOKING_REQUESTED',
		'BOOKING_RESCHEDULED',
		'BOOKING_CANCELLED',
		'BOOKING_REJECTED',
		'BOOKING_PAID',
		'BOOKING_PAYMENT_INITIATED',
		'BOOKING_NO_SHOW_UPDATED',
	];

	await test('cal: keys, tokens, clients', async () => {
		await fresh();
		assert.equal((await cal('GET', '/me')).json.data.email, 'coach@example.com');
		no(await cal('GET', '/me', undefined, { key: 'cal_live_nobody' }), 401, /not valid/);
		no(await cal('GET', '/me', undefined, { key: '' }), 401);
		const location = (
			await send(zoom, 'GET', '/cal/auth/oauth2/authorize?client_id=standin-cal-client&redirect_uri=https://a.example/cb&scope=BOOKING_READ&state=x')
		).headers.location;
		const code = new URL(location).searchParams.get('code');
		const exchange = (fields) =>
			send(zoom, 'POST', '/cal/v2/auth/oauth2/token', {
				headers: { 'content-type': 'application/json' },
				body: JSON.stringify({ client_id: 'standin-cal-client', client_secret: 'standin-cal-secret', ...fields }),
			});
		const pair = (await exchange({ grant_type: 'authorization_code', code, redirect_uri: 'https://a.example/cb' })).json;
		assert.equal(pair.expires_in, 1800);
		const again = await exchange({ grant_type: 'authorization_code', code, redirect_uri: 'https://a.example/cb' });
		assert.deepEqual([again.status, again.json.error], [400, 'invalid_grant']);
		assert.equal((await cal('GET', '/me', undefined, { key: pair.access_token })).status, 200);
		await control('POST', 'cal/tokens', { expire: 'access' });
		no(await cal('GET', '/me', undefined, { key: pair.access_token }), 498, /ACCESS_TOKEN_IS_EXPIRED/);
		assert.ok((await exchange({ grant_type: 'refresh_token', refresh_token: pair.refresh_token })).json.access_token);
		const client = { key: '', headers: { 'x-cal-client-id': 'standin-cal-client', 'x-cal-secret-key': 'standin-cal-secret' } };
		const managed = (await cal('POST', '/oauth-clients/standin-cal-client/users', { email: 'm@example.com', name: 'M' }, client)).json.data;
		assert.equal(managed.user.email, 'm+standin-cal-client@example.com');
		assert.equal((await cal('GET', '/me', undefined, { key: managed.accessToken })).status, 200);
		const renewed = (await cal('POST', '/api-keys/refresh', {})).json.data.apiKey;
		no(await cal('GET', '/me'), 401);
		assert.equal((await cal('GET', '/me', undefined, { key: renewed })).status, 200);
	});

	await test('cal: another version is another API, unknown fields vanish', async () => {
		await fresh();
		await book();
		assert.ok(Array.isArray((await cal('GET', '/bookings')).json.data));
		const old = await cal('GET', '/bookings', undefined, { version: '"2024-08-13"' });
		assert.deepEqual([old.status, old.json.data.bookings[0].status], [200, 'ACCEPTED']);
		assert.deepEqual((await lastEntry()).anomalies, ['old_api_version']);
		const { uid } = (await cal('GET', '/bookings')).json.data[0];
		no(await cal('POST', `/bookings/${uid}/guests`, { guests: [{ email: 'g@example.com' }] }, { version: '2024-04-15' }), 404);
		const all = await cal('GET', '/bookings?atendeeEmail=nobody%40example.com');
		assert.equal(all.json.data.length, 1);
		assert.deepEqual((await lastEntry()).anomalies, ['dropped atendeeEmail']);
		no(await cal('GET', '/bookings?take=251'), 400, /take/);
		await control('DELETE', 'log'); // wrong on purpose
	});

	await test('cal: too many a minute, and the block that follows', async () => {
		await fresh();
		await control('POST', 'config', { cal: { limits: { apiKey: 3, windowMs: 300, blockMs: 300 } } });
		for (let i = 2; i >= 0; i--) assert.equal((await cal('GET', '/me')).headers['x-ratelimit-remaining-default'], String(i));
		const refused = await cal('GET', '/me');
		no(refused, 429);
		assert.equal(refused.headers['retry-after'], undefined);
		assert.equal(refused.json.error.code, 'ThrottlerException');
		await new Promise((resolve) => setTimeout(resolve, 250));
		no(await cal('GET', '/me'), 429);
		await new Promise((resolve) => setTimeout(resolve, 120));
		assert.equal((await cal('GET', '/me')).status, 200);
	});

	await test('cal: a booking from beginning to end, and its webhooks', async () => {
		await fresh();
		await control('POST', 'config', { cal: { sender: 'legacy' } });
		const webhook = await hook();
		assert.match(webhook.id, /^[0-9a-f-]{36}$/);
		no(await cal('POST', '/webhooks', { active: true, subscriberUrl: 'https://app.example.com/hook', triggers: ALL }), 409);
		no(await cal('POST', '/webhooks', { active: true, subscriberUrl: 'http://10.0.0.1/x', triggers: ALL }), 400);
		const one = await book({ metadata: { dibs: 'm1' } });
		assert.deepEqual([one.status, one.duration, one.hosts[0].id], ['accepted', 30, 5]);
		no(await cal('POST', '/bookings', { eventTypeId: 50, start: day(24), attendee: attendee('Bob') }), 400, /already has booking/);
		no(await cal('POST', '/bookings', { eventTypeId: 50, start: day(-24), attendee: attendee('Bob') }), 400, /past/);
		const two = (await cal('POST', `/bookings/${one.uid}/reschedule`, { start: day(26), reschedulingReason: 'later' })).json.data;
		assert.notEqual(two.uid, one.uid);
		assert.equal(two.rescheduledFromUid, one.uid);
		const superseded = (await cal('GET', `/bookings/${one.uid}`)).json.data;
		assert.deepEqual([superseded.status, superseded.rescheduledToUid], ['cancelled', two.uid]);
		no(await cal('POST', `/bookings/${one.uid}/reschedule`, { start: day(27) }), 400, new RegExp(two.uid));
		await cal('POST', `/bookings/${two.uid}/guests`, { guests: [{ email: 'g@example.com' }] });
		await cal('PATCH', `/bookings/${two.uid}/location`, { location: { type: 'link', link: 'https://meet.example.com/x' } });
		no(await cal('POST', `/bookings/${two.uid}/mark-absent`, { host: true }), 403);
		assert.equal((await cal('POST', `/bookings/${two.uid}/cancel`, { cancellationReason: 'ill' })).status, 200);
		no(await cal('POST', `/bookings/${two.uid}/cancel`, {}), 400, /already been cancelled/);
		const sent = await outbox();
		assert.deepEqual(
			sent.map(({ trigger }) => trigger),
			['BOOKING_CREATED', 'BOOKING_RESCHEDULED', 'BOOKING_CANCELLED'],
		);
		for (const { headers, body } of sent)
			assert.equal(headers['x-cal-signature-256'], createHmac('sha256', 's3').update(body).digest('hex'));
		assert.equal(JSON.parse(sent[1].body).payload.rescheduleUid, one.uid);
		assert.match(JSON.parse(sent[2].body).payload.startTime, /\+00:00$/);
	});

	await test('cal: asking, declining, paying, coming late', async () => {
		await fresh();
		await hook();
		const asked = await book({ eventTypeId: 52 }, { key: '' });
		assert.equal(asked.status, 'pending');
		no(await cal('POST', `/bookings/${asked.uid}/confirm`, undefined, { key: 'cal_live_STANDIN-CAL-KEY-host1' }), 403);
		assert.equal((await cal('POST', `/bookings/${asked.uid}/confirm`)).json.data.status, 'accepted');
		const other = await book({ eventTypeId: 52, start: day(30) }, { key: '' });
		assert.equal((await cal('POST', `/bookings/${other.uid}/decline`, { reason: 'full' })).json.data.status, 'rejected');
		const paid = await book({ eventTypeId: 54, start: day(40) });
		await control('POST', 'cal/act', { do: 'pay', uid: paid.uid });
		assert.deepEqual(
			(await outbox()).map(({ trigger }) => trigger),
			[
				'BOOKING_REQUESTED',
				'BOOKING_CREATED',
				'BOOKING_REQUESTED',
				'BOOKING_REJECTED',
				'BOOKING_PAYMENT_INITIATED',
				'BOOKING_CREATED',
				'BOOKING_PAID',
			],
		);
		await control('POST', 'config', { clockOffsetMs: 24.2 * HOUR + HOUR });
		const before = (await cal('GET', `/bookings/${asked.uid}`)).json.data.updatedAt;
		const absent = await cal('POST', `/bookings/${asked.uid}/mark-absent`, { attendees: [{ email: 'ann@example.com', absent: true }] });
		assert.deepEqual([absent.json.data.attendees[0].absent, absent.json.data.updatedAt], [true, before]);
	});

	await test('cal: seats come, go and move', async () => {
		await fresh();
		const webhook = await hook();
		const seat = (name, start = day(24)) => book({ eventTypeId: 51, start, attendee: attendee(name) });
		const ann = await seat('Ann');
		const bob = await seat('Bob');
		assert.equal(bob.uid, ann.uid);
		assert.notEqual(bob.seatUid, ann.seatUid);
		no(await cal('POST', '/bookings', { eventTypeId: 51, start: day(24), attendee: attendee('Ann') }), 409);
		assert.equal((await cal('GET', `/bookings/${ann.uid}`)).json.data.attendees.length, 2);
		assert.equal((await cal('GET', `/bookings/${ann.uid}`, undefined, { key: '' })).json.data.attendees.length, 0);
		no(await cal('POST', `/bookings/${ann.uid}/cancel`, {}, { key: '' }), 401, /not a host/);
		const touched = (await cal('GET', `/bookings/${ann.uid}`)).json.data.updatedAt;
		await cal('POST', `/bookings/${ann.uid}/cancel`, { seatUid: ann.seatUid }, { key: '' });
		const left = (await cal('GET', `/bookings/${ann.uid}`)).json.data;
		assert.deepEqual([left.status, left.attendees.length, left.updatedAt], ['accepted', 1, touched]);
		const moved = (await cal('POST', `/bookings/${ann.uid}/reschedule`, { start: day(48), seatUid: bob.seatUid }, { key: '' })).json.data;
		assert.notEqual(moved.uid, ann.uid);
		assert.equal((await cal('GET', `/bookings/${ann.uid}`)).json.data.status, 'cancelled');
		const sent = (await outbox()).map(({ body }) => JSON.parse(body));
		assert.deepEqual(
			sent.map(({ triggerEvent }) => triggerEvent),
			['BOOKING_CREATED', 'BOOKING_CREATED', 'BOOKING_CANCELLED', 'BOOKING_RESCHEDULED'],
		);
		assert.equal(sent[2].payload.attendeeSeatId, ann.seatUid);
		assert.equal(sent[1].payload.attendees.length, 1);
		assert.equal((await cal('PATCH', `/webhooks/${webhook.id}`, { active: false })).json.data.active, false);
		await seat('Cid', day(72));
		assert.equal((await outbox()).length, 4);
	});

	await test('cal: series, lists, filters', async () => {
		await fresh();
		const series = await book({ eventTypeId: 53, recurrenceCount: 3 });
		assert.equal(series.length, 3);
		assert.equal((await cal('GET', `/bookings/${series[0].recurringBookingUid}`)).json.data.length, 3);
		await cal('POST', `/bookings/${series[1].uid}/cancel`, { cancelSubsequentBookings: true });
		const page = (await cal('GET', '/bookings?take=2&sortUpdatedAt=asc')).json;
		assert.deepEqual([page.data.length, page.pagination.hasNextPage, page.pagination.totalItems], [2, true, 3]);
		const rest = (await cal('GET', '/bookings?take=2&skip=2&sortUpdatedAt=asc')).json;
		assert.equal(rest.data[0].status, 'cancelled');
		const after = (await cal('GET', `/bookings?afterUpdatedAt=${rest.data[0].updatedAt}&sortUpdatedAt=asc`)).json.data;
		assert.ok(after.length > 0 && after.every(({ updatedAt }) => updatedAt >= rest.data[0].updatedAt));
		assert.equal((await cal('GET', '/bookings?status=upcoming')).json.data.length, 1);
		no(await cal('GET', '/bookings?afterUpdatedAt=yesterday'), 400);
		assert.equal((await cal('GET', '/bookings', undefined, { key: 'cal_live_STANDIN-CAL-KEY-host1' })).json.data.length, 0);
		no(await cal('POST', `/bookings/${series[0].uid}/reassign/6`, {}), 400, /round robin/);
		const turn = await book({ eventTypeId: 56, start: day(100) });
		no(await cal('POST', `/bookings/${turn.uid}/reassign/77`, {}), 404, /not found/);
		assert.equal((await cal('POST', `/bookings/${turn.uid}/reassign/6`, {})).json.data.reassignedTo.id, 6);
		no(await cal('POST', `/bookings/${turn.uid}/reassign/7`, {}), 403, /not the host/);
		assert.equal((await cal('GET', '/bookings', undefined, { key: 'cal_live_STANDIN-CAL-KEY-host1' })).json.data.length, 1);
	});

	await test('cal: event types, slots, busy times', async () => {
		await fresh();
		assert.equal((await cal('GET', '/event-types')).json.data.length, 6);
		assert.equal((await cal('GET', '/event-types?username=coach', undefined, { key: '' })).json.data.length, 5);
		const made = (await cal('POST', '/event-types', { title: 'New', slug: 'new', lengthInMinutes: 20 })).json.data;
		assert.equal((await cal('PATCH', `/event-types/${made.id}`, { hidden: true })).json.data.hidden, true);
		no(await cal('POST', '/event-types', { title: 'New', slug: 'new', lengthInMinutes: 20 }), 400, /slug/);
		assert.equal((await cal('DELETE', `/event-types/${made.id}`)).json.data.slug, 'new');
		no(await cal('GET', `/event-types/${made.id}`), 404);
		const range = `start=${day(24)}&end=${day(26)}`;
		const slots = async (id) => Object.values((await cal('GET', `/slots?eventTypeId=${id}&${range}`)).json.data).flat();
		const before = await slots(50);
		await book();
		assert.equal((await slots(50)).length, before.length - 1);
		await book({ eventTypeId: 51, start: day(26) });
		assert.equal((await slots(51)).find(({ start }) => start === day(26).replace('.000Z', '.000Z')).seatsRemaining, 3);
		const zoned = (await cal('GET', `/slots?eventTypeId=50&${range}&timeZone=Asia/Kolkata`)).json.data;
		assert.match(Object.values(zoned)[0][0].start, /\+05:30$/);
		const busy = await cal(
			'GET',
			`/calendars/busy-times?timeZone=UTC&dateFrom=${day(24).slice(0, 10)}&dateTo=${day(48).slice(0, 10)}&calendarsToLoad[0][credentialId]=500&calendarsToLoad[0][externalId]=coach%40example.com`,
		);
		assert.ok(busy.json.data.length >= 1, busy.text);
	});

	await test('cal: a random life, bookings by the thousand', async () => {
		await fresh();
		await hook();
		await control('POST', 'config', { cal: { sender: 'mixed' } });
		const life = await control('POST', 'cal/life', { user: 'coach@example.com', steps: 600, seed: 3 });
		assert.ok(life.acts > 300 && life.sent > 200, JSON.stringify(life));
		const planted = await control('POST', 'cal/plant', { user: 'host1@example.com', count: 2000 });
		assert.ok(planted.bookings > 2000);
		const page = (await cal('GET', '/bookings?take=250&sortUpdatedAt=asc', undefined, { key: 'cal_live_STANDIN-CAL-KEY-host1' })).json;
		assert.deepEqual([page.data.length, page.pagination.totalPages], [250, 8]);
	});

	if (specDir)
		await test('cal: the documents see what is wrong', async () => {
			await fresh();
			await cal('GET', '/bookings?sortUpdated=asc');
			assert.match((await lastEntry()).conformance.join(), /sortUpdated: not in the document/);
			await cal('GET', '/bookings', undefined, { version: '' });
			assert.match((await lastEntry()).conformance.join(), /cal-api-version: required/);
			await cal('POST', '/bookings', { eventTypeId: 50, start: day(24), attendee: attendee('Ann'), idempotencyKey: 'x' });
			assert.match((await lastEntry()).conformance.join(), /idempotencyKey/);
			await control('DELETE', 'log');
		});
}
