// Meetings: every operation, every refusal, every silent correction.

import assert from 'node:assert/strict';
import { instantOf, occurrenceStarts, utc } from '../zoom-time.mjs';
import {
	test,
	start,
	sleep,
	send,
	zoom,
	bearer,
	control,
	api,
	basic,
	S2S,
	login,
	fresh,
	lastEntry,
	tomorrow,
	COACH,
	create,
	refused,
} from './harness.mjs';

export async function meetingTests() {
	await test('create, get, patch, delete, recover', async () => {
		const start = tomorrow();
		const made = await create({
			start_time: start,
			timezone: 'Europe/Berlin',
			duration: 45,
			agenda: 'a',
			password: 'abc123',
		});
		assert.ok(made.id > 2 ** 32 && String(made.id).length === 11);
		assert.equal(made.start_time, start);
		assert.equal(made.password, 'abc123');
		assert.equal(made.status, 'waiting');
		assert.match(made.start_url, /STANDIN-ZAK-SECRET/);
		assert.doesNotMatch(made.join_url, /STANDIN-ZAK-SECRET/);
		const got = (await api('GET', `/meetings/${made.id}`)).json;
		assert.deepEqual([got.uuid, got.topic, got.duration], [made.uuid, 'Lesson', 45]);
		assert.notEqual(got.start_url, made.start_url);
		const patched = await api('PATCH', `/meetings/${made.id}`, {
			topic: 'Changed',
			settings: { waiting_room: true },
		});
		assert.deepEqual([patched.status, patched.text, patched.headers['content-length']], [204, '', undefined]);
		const after = (await api('GET', `/meetings/${made.id}`)).json;
		assert.deepEqual([after.topic, after.settings.waiting_room, after.start_time], ['Changed', true, start]);
		assert.equal((await api('DELETE', `/meetings/${made.id}?cancel_meeting_reminder=false`)).status, 204);
		refused(await api('GET', `/meetings/${made.id}`), 404, 3001, /^Meeting does not exist: \d+\.$/);
		refused(await api('DELETE', `/meetings/${made.id}`), 404, 3001);
		refused(await api('PATCH', `/meetings/${made.id}`, { topic: 'x' }), 404, 3001);
		assert.equal((await api('PUT', `/meetings/${made.id}/status`, { action: 'recover' })).status, 204);
		assert.equal((await api('GET', `/meetings/${made.id}`)).status, 200);
		refused(await api('PUT', `/meetings/${made.id}/status`, { action: 'recover' }), 404, 3001);
	});

	await test('every error of authorization', async () => {
		const bare = await send(zoom, 'GET', '/v2/users');
		refused(bare, 401, 124);
		refused(await api('GET', '/users', undefined, { token: 'nonsense' }), 401, 124);
		refused(await send(zoom, 'GET', '/v2/users', { headers: { authorization: S2S } }), 401, 124);
		await control('POST', 'config', { scopes: { s2s: ['meeting:read:meeting:admin'] } });
		await login();
		refused(
			await api('POST', COACH, { topic: 'x' }),
			400,
			4711,
			/^Invalid access token, does not contain scopes:\[meeting:write:meeting/,
		);
		refused(await api('GET', COACH), 400, 4711);
		await control('POST', 'config', { scopes: { s2s: ['meeting:write:admin'] } });
		await login();
		assert.equal((await api('POST', COACH, { topic: 'x', start_time: tomorrow() })).status, 201);
		await fresh();
	});

	const bodies = [
		['unknown field', { topik: 'x' }, 'topik'],
		['unknown setting', { settings: { waitingroom: true } }, 'settings.waitingroom'],
		['prototype names are fields like others', '{"constructor": 1}', 'constructor'],
		['text for a number', { duration: '30' }, 'duration'],
		['text for a boolean', { settings: { waiting_room: 'true' } }, 'settings.waiting_room'],
		['null', { agenda: null }, 'agenda'],
		['number for a text', { topic: 7 }, 'topic'],
		['long topic', { topic: 'x'.repeat(201) }, 'topic'],
		['long agenda', { agenda: 'x'.repeat(2001) }, 'agenda'],
		['long passcode', { password: '12345678901' }, 'password'],
		['passcode with a space', { password: 'a b' }, 'password'],
		['duration 0', { duration: 0 }, 'duration'],
		['duration above a day', { duration: 1441 }, 'duration'],
		['fraction', { duration: 1.5 }, 'duration'],
		['type 4', { type: 4 }, 'type'],
		['milliseconds', { start_time: '2036-01-01T10:00:00.000Z' }, 'start_time'],
		['offset', { start_time: '2036-01-01T10:00:00+01:00' }, 'start_time'],
		['space for T', { start_time: '2036-01-01 10:00:00' }, 'start_time'],
		['no seconds', { start_time: '2036-01-01T10:00Z' }, 'start_time'],
		['a day that is not', { start_time: '2036-02-30T10:00:00Z' }, 'start_time'],
		['hour 24', { start_time: '2036-02-20T24:00:00Z' }, 'start_time'],
		['a zone that is not', { timezone: 'Mars/Olympus' }, 'timezone'],
		['an offset as zone', { timezone: '+02:00' }, 'timezone'],
		['enum', { settings: { audio: 'loud' } }, 'settings.audio'],
		['jbh_time', { settings: { jbh_time: 7 } }, 'settings.jbh_time'],
		['tracking field without name', { tracking_fields: [{ value: 'x' }] }, 'tracking_fields[0].field'],
		['object for a list', { tracking_fields: {} }, 'tracking_fields'],
		['list for an object', { settings: [] }, 'settings'],
		[
			'unknown alternative host',
			{ settings: { alternative_hosts: 'nobody@example.com' } },
			'settings.alternative_hosts',
		],
		[
			'unlicensed alternative host',
			{ settings: { alternative_hosts: 'basic@example.com' } },
			'settings.alternative_hosts',
		],
		[
			'alternative hosts by comma',
			{ settings: { alternative_hosts: 'host1@example.com,host2@example.com' } },
			'settings.alternative_hosts',
		],
		[
			'invitee without address',
			{ settings: { meeting_invitees: [{ email: 'x' }] } },
			'settings.meeting_invitees[0].email',
		],
		[
			'two ends of a series',
			{ type: 8, recurrence: { type: 1, end_times: 2, end_date_time: '2036-01-01T00:00:00Z' } },
			'recurrence.end_times',
		],
		['interval', { type: 8, recurrence: { type: 3, repeat_interval: 11 } }, 'recurrence.repeat_interval'],
		['weekly_days as number', { type: 8, recurrence: { type: 2, weekly_days: 1 } }, 'recurrence.weekly_days'],
		[
			'both mute rights',
			{
				settings: {
					request_permission_to_unmute_participants: true,
					allow_host_control_participant_mute_state: true,
				},
			},
			'settings.allow_host_control_participant_mute_state',
		],
	];
	for (const [name, body, field] of bodies)
		await test(`create refused: ${name}`, async () => {
			const reply = await api('POST', COACH, body);
			refused(reply, 400, 300, /^Validation Failed\.$/);
			assert.ok(
				reply.json.errors.some((error) => error.field === field),
				reply.text,
			);
			assert.equal((await lastEntry()).accepted, false);
		});
	await test('refused requests made nothing', async () =>
		assert.equal((await control('GET', 'state')).meetingsLive, 0));
	await test('characters are counted, not UTF-16 units', async () => {
		await create({ topic: '\u{1F600}'.repeat(200) });
		refused(await api('POST', COACH, { topic: '\u{1F600}'.repeat(201) }), 400, 300);
	});
	await test('default_password belongs to create, custom_keys to update', async () => {
		const { id } = await create({ default_password: true });
		refused(await api('PATCH', `/meetings/${id}`, { default_password: true }), 400, 300);
		assert.equal(
			(await api('PATCH', `/meetings/${id}`, { settings: { custom_keys: [{ key: 'a', value: 'b' }] } })).status,
			204,
		);
		refused(await api('POST', COACH, { settings: { custom_keys: [] } }), 400, 300);
		refused(
			await api('PATCH', `/meetings/${id}`, { schedule_for: 'host1@example.com' }),
			400,
			3000,
			/cannot schedule/,
		);
	});
	await test('content type, JSON, UTF-8', async () => {
		refused(await api('POST', COACH, '{}', { type: 'text/plain' }), 415, 300);
		refused(await api('POST', COACH, '{'), 400, 300, /valid JSON/);
		refused(await api('POST', COACH, '[]'), 400, 300, /valid JSON/);
		refused(await api('POST', COACH, ''), 400, 300, /valid JSON/);
		const bad = await send(zoom, 'POST', '/v2' + COACH, {
			headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
			body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
		});
		refused(bad, 400, 300, /valid JSON/);
		assert.equal(
			(await api('POST', COACH, { start_time: tomorrow() }, { type: 'application/json; charset=utf-8' })).status,
			201,
		);
	});
	await test('hosts: unknown, basic, inactive, scheduled for another', async () => {
		refused(
			await api('POST', '/users/nobody@example.com/meetings', {}),
			404,
			1001,
			/^User does not exist: nobody@example\.com\.$/,
		);
		refused(await api('POST', '/users/basic@example.com/meetings', {}), 400, 3161);
		refused(await api('POST', '/users/pending@example.com/meetings', {}), 400, 3161);
		refused(await api('POST', COACH, { schedule_for: 'host1@example.com' }), 400, 3000);
		refused(await api('POST', COACH, { schedule_for: 'nobody' }), 400, 300);
		refused(await api('POST', COACH, { schedule_for: 'host1@example.com', type: 1 }), 400, 3000, /Instant/);
		await control('POST', 'config', {
			users: [{ email: 'coach@example.com', can_schedule_for: ['host1@example.com'] }],
		});
		assert.equal((await create({ schedule_for: 'host1@example.com' })).host_email, 'host1@example.com');
		const { users } = await control('GET', 'config');
		assert.equal((await create({}, `/users/${users[1].id}/meetings`)).host_email, 'host1@example.com');
	});
	await test('paths: not recognised, not a number, not there', async () => {
		refused(await api('GET', '/nonsense'), 404, 2300);
		refused(await api('POST', '/users//meetings', {}), 404, 2300);
		refused(await api('POST', '/meetings/12345678901', {}), 404, 2300);
		refused(await api('GET', '/meetings/abc'), 400, 300);
		refused(await api('GET', '/meetings/12345678901'), 404, 3001);
		refused(await api('GET', `${COACH}?typ=live`), 400, 300);
		refused(await api('GET', `${COACH}?type=all`), 400, 300);
		refused(await api('GET', `${COACH}?page_size=301`), 400, 300);
		refused(await api('DELETE', '/meetings/12345678901?schedule_for_reminder=yes'), 400, 300);
	});
	await test('silent corrections are anomalies', async () => {
		await fresh();
		const past = await create({ start_time: '2020-01-01T00:00:00Z' });
		assert.ok(Math.abs(Date.parse(past.start_time) - Date.now()) < 5000);
		assert.deepEqual((await lastEntry()).anomalies, ['start_time_past']);
		await create({ start_time: undefined });
		assert.deepEqual((await lastEntry()).anomalies, ['start_time_missing']);
		const open = await create({
			default_password: false,
			settings: { waiting_room: false, join_before_host: true },
		});
		assert.deepEqual(
			[open.settings.waiting_room, open.settings.join_before_host, open.password],
			[true, false, undefined],
		);
		assert.deepEqual((await lastEntry()).anomalies, ['waiting_room_forced', 'join_before_host_off']);
		const early = await create({ password: 'x1', settings: { waiting_room: false, join_before_host: true } });
		assert.deepEqual([early.settings.waiting_room, early.settings.join_before_host], [false, true]);
		const before = tomorrow();
		const { id } = await create({ start_time: before });
		await api('PATCH', `/meetings/${id}`, { start_time: '2020-01-01T00:00:00Z' });
		assert.equal((await api('GET', `/meetings/${id}`)).json.start_time, before);
		assert.equal((await control('GET', 'state')).counters.anomalies, 5);
	});
	await test('passcodes of the account', async () => {
		assert.equal((await create()).password.length, 6);
		await control('POST', 'config', {
			users: [{ email: 'coach@example.com', passcode_min_length: 8, passcode_locked: true }],
		});
		refused(await api('POST', COACH, { password: 'short' }), 400, 300);
		assert.ok((await create({ default_password: false })).password);
		await fresh();
	});
	await test('local times are read in the zone', async () => {
		assert.equal(
			(await create({ start_time: '2036-01-15T10:00:00', timezone: 'Europe/Berlin' })).start_time,
			'2036-01-15T09:00:00Z',
		);
		assert.equal(
			(await create({ start_time: '2036-07-15T10:00:00', timezone: 'America/New_York' })).start_time,
			'2036-07-15T14:00:00Z',
		);
		assert.equal(utc(instantOf(Date.UTC(2036, 2, 30, 2, 30), 'Europe/Berlin')).slice(11, 16), '01:30');
	});
	await test('running: started, no change, ended, new uuid', async () => {
		const { id, uuid } = await create();
		await control('POST', `meeting/${id}`, { running: true });
		const running = (await api('GET', `/meetings/${id}`)).json;
		assert.deepEqual([running.status, running.uuid], ['started', uuid]);
		refused(await api('DELETE', `/meetings/${id}`), 400, 3002);
		refused(await api('PATCH', `/meetings/${id}`, { topic: 'x' }), 400, 3002);
		assert.equal((await api('GET', `${COACH}?type=live`)).json.meetings.length, 1);
		assert.equal((await api('PUT', `/meetings/${id}/status`, { action: 'end' })).status, 204);
		const ended = (await api('GET', `/meetings/${id}`)).json;
		assert.equal(ended.status, 'waiting');
		assert.notEqual(ended.uuid, uuid);
		refused(await api('PUT', `/meetings/${id}/status`, { action: 'stop' }), 400, 300);
		refused(await api('PUT', `/meetings/${id}/status`, {}), 400, 300);
		await control('POST', `meeting/${id}`, { running: true });
		await control('POST', `meeting/${id}`, { running: false });
		const { instances } = await control('GET', `meeting/${id}`);
		assert.equal(new Set(instances.map((instance) => instance.uuid)).size, 2);
		await api('PUT', `/meetings/${id}/status`, { action: 'end' });
		assert.deepEqual((await lastEntry()).anomalies, ['end_not_running']);
	});
	await test('expiry: told so, and by age', async () => {
		const { id } = await create();
		await control('POST', `meeting/${id}`, { expired: true });
		refused(await api('GET', `/meetings/${id}`), 404, 3001);
		const other = await create();
		await control('POST', 'config', { clockOffsetMs: 32 * 86400000 });
		await login();
		refused(await api('GET', `/meetings/${other.id}`), 404, 3001);
		await fresh();
	});
	await test('personal room', async () => {
		const { users } = await control('GET', 'config');
		refused(await api('DELETE', `/meetings/${users[0].pmi}`), 400, 3018);
		const made = await create({ settings: { use_pmi: true } });
		assert.equal(made.pmi, String(users[0].pmi));
		assert.notEqual(made.id, users[0].pmi);
		assert.match(made.join_url, new RegExp(`/j/${users[0].pmi}`));
	});
	await test('series: occurrences, one changed, one deleted', async () => {
		const made = await create({
			type: 8,
			start_time: '2036-03-24T09:00:00',
			timezone: 'Europe/Berlin',
			recurrence: { type: 2, weekly_days: '2,4', end_times: 4 },
		});
		assert.deepEqual(
			made.occurrences.map(({ start_time }) => start_time),
			['2036-03-24T08:00:00Z', '2036-03-26T08:00:00Z', '2036-03-31T07:00:00Z', '2036-04-02T07:00:00Z'],
		);
		const [first, second] = made.occurrences;
		assert.equal((await api('DELETE', `/meetings/${made.id}?occurrence_id=${first.occurrence_id}`)).status, 204);
		refused(await api('DELETE', `/meetings/${made.id}?occurrence_id=${first.occurrence_id}`), 400, 300);
		assert.equal(
			(await api('PATCH', `/meetings/${made.id}?occurrence_id=${second.occurrence_id}`, { duration: 15 })).status,
			204,
		);
		refused(
			await api('PATCH', `/meetings/${made.id}?occurrence_id=${second.occurrence_id}`, { topic: 'x' }),
			400,
			300,
		);
		const got = (await api('GET', `/meetings/${made.id}`)).json;
		assert.deepEqual(got.occurrences.map(({ status, duration }) => [status, duration]).slice(0, 2), [
			['deleted', 60],
			['available', 15],
		]);
	});
	await test('monthly rules', () => {
		const starts = (rule) =>
			occurrenceStarts(Date.UTC(2036, 0, 31, 9), 'UTC', { type: 3, end_times: 3, ...rule }).map((ms) =>
				utc(ms).slice(0, 10),
			);
		assert.deepEqual(starts({ monthly_day: 31 }), ['2036-01-31', '2036-03-31', '2036-05-31']);
		assert.deepEqual(starts({ monthly_week: -1, monthly_week_day: 1 }), ['2036-02-24', '2036-03-30', '2036-04-27']);
		assert.deepEqual(starts({ monthly_week: 1, monthly_week_day: 2, repeat_interval: 2 }), [
			'2036-03-03',
			'2036-05-05',
			'2036-07-07',
		]);
	});
	await test('list: pages, agenda cut, types, delay', async () => {
		await fresh();
		for (let i = 0; i < 7; i++)
			await create({ topic: `n${i}`, agenda: 'dibs:' + 'y'.repeat(300), start_time: tomorrow(24 + i) });
		await create({ type: 1, start_time: undefined });
		await create({ topic: 'other' }, '/users/host1@example.com/meetings');
		const seen = [];
		let token = '';
		do {
			const { json } = await api(
				'GET',
				`${COACH}?type=upcoming&page_size=3${token && '&next_page_token=' + token}`,
			);
			seen.push(...json.meetings);
			assert.equal(json.total_records, 7);
			token = json.next_page_token;
		} while (token);
		assert.deepEqual(
			seen.map(({ topic }) => topic),
			['n0', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6'],
		);
		assert.equal(seen[0].agenda.length, 250);
		for (const hidden of ['settings', 'start_url', 'status', 'password']) assert.equal(seen[0][hidden], undefined);
		refused(await api('GET', `${COACH}?next_page_token=nonsense`), 400, 300);
		const { json: one } = await api('GET', `${COACH}?page_size=3`);
		await control('POST', 'config', { clockOffsetMs: 16 * 60000 });
		refused(await api('GET', `${COACH}?page_size=3&next_page_token=${one.next_page_token}`), 400, 300);
		await control('POST', 'config', { clockOffsetMs: 0 });
		await sleep(400);
		await control('POST', 'config', { listDelayMs: 400 });
		await create({ topic: 'late' });
		assert.equal((await api('GET', `${COACH}?page_size=300`)).json.total_records, 7);
		await sleep(450);
		assert.equal((await api('GET', `${COACH}?page_size=300`)).json.total_records, 8);
		const day = tomorrow(24).slice(0, 10);
		assert.ok((await api('GET', `${COACH}?from=${day}&to=${day}`)).json.total_records >= 1);
		assert.equal((await api('GET', `${COACH}?to=2020-01-01`)).json.total_records, 0);
		refused(await api('GET', `${COACH}?from=yesterday`), 400, 300);
		await fresh();
	});
	await test('made behind your back, duplicates by marker', async () => {
		const planted = await control('POST', 'meeting', {
			host: 'coach@example.com',
			agenda: 'dibs:twin',
			start_time: tomorrow(),
		});
		assert.equal((await api('GET', `/meetings/${planted.id}`)).status, 200);
		const twin = await create({ agenda: 'dibs:twin' });
		let state = await control('GET', 'state');
		assert.equal(state.duplicatesLive, 1);
		assert.deepEqual(state.duplicates[0], { marker: 'dibs:twin', live: 2, ever: 2, ids: [planted.id, twin.id] });
		await api('DELETE', `/meetings/${twin.id}`);
		state = await control('GET', 'state');
		assert.deepEqual([state.duplicatesLive, state.duplicates[0].ever], [0, 2]);
		assert.deepEqual(state.operations.byHost['coach@example.com'], {
			creates: 1,
			updates: 0,
			deletes: 1,
			ends: 0,
			recovers: 0,
		});
		await fresh();
	});
}
