// Log, control, process life, TLS with HTTP/2, and the check against the provider's documents.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import { join } from 'node:path';
import {
	test,
	start,
	sleep,
	send,
	zoom,
	bearer,
	specDir,
	control,
	api,
	S2S,
	USER_APP,
	tokenRequest,
	fresh,
	lastEntry,
	tomorrow,
	COACH,
	create,
	refused,
	seenViolations,
	scratch,
} from './harness.mjs';

export async function houseTests() {
	await test('the log holds no secret, stdout none either', async () => {
		await fresh();
		const { start_url: startUrl } = await create({ password: 'pw-in-log' });
		await tokenRequest({ grant_type: 'refresh_token', refresh_token: 'refresh-in-log' }, USER_APP);
		const text = JSON.stringify(await control('GET', 'log'));
		for (const secret of [bearer, 'standin-s2s-secret', S2S.slice(6), 'refresh-in-log', startUrl])
			assert.ok(!text.includes(secret), secret);
		assert.match(text, /"authorization":"Bearer sha256:[0-9a-f]{12}"/);
		for (const secret of [bearer, 'pw-in-log', 'STANDIN-ZAK-SECRET', 'refresh-in-log', 'account_id'])
			assert.ok(!zoom.output.includes(secret), secret);
		assert.match(zoom.output, /POST \/v2\/users\/coach@example\.com\/meetings 201/);
	});
	await test('entries: since, order, connection, HTTP version', async () => {
		const { n } = await lastEntry();
		await api('GET', '/users');
		const { entries } = await control('GET', `log?since=${n}`);
		assert.equal(entries.length, 1);
		assert.deepEqual([entries[0].n, entries[0].httpVersion, entries[0].route], [n + 1, '1.1', 'GET /users']);
		assert.ok(entries[0].connection > 0);
	});
	await test('requests at once are counted', async () => {
		await control('POST', 'config', { latency: 100 });
		await Promise.all(Array.from({ length: 9 }, () => api('GET', '/users')));
		const { counters } = await control('GET', 'state');
		assert.equal(counters.maxInFlight, 9);
		await fresh();
	});
	await test('an address that nobody claims, a control call that is none, a setting that is none', async () => {
		assert.equal((await send(zoom, 'GET', '/')).status, 404);
		assert.equal((await send(zoom, 'GET', '/_control/nothing')).status, 404);
		assert.equal((await send(zoom, 'POST', '/_control/config', { body: '{"tokenlife":1}' })).status, 400);
		assert.equal((await send(zoom, 'POST', '/_control/config', { body: '{"limits":{"hourly":1}}' })).status, 400);
		assert.equal((await send(zoom, 'POST', '/_control/meeting/1', { body: '{}' })).status, 400);
		assert.equal((await send(zoom, 'POST', '/_control/config', { body: '{' })).status, 400);
	});
	await test('a body without end is cut off', async () => {
		const reply = send(zoom, 'POST', '/v2' + COACH, { body: Buffer.alloc(5 * 1024 * 1024) });
		await reply.then(
			({ status }) => assert.equal(status, 413),
			(error) => assert.match(error.message, /ECONN|EPIPE|hang up/),
		);
	});
	await test('the log is capped', async () => {
		const small = await start('--log-cap', '10', '--quiet');
		for (let i = 0; i < 25; i++) await send(small, 'GET', '/v2/users');
		const log = (await send(small, 'GET', '/_control/log')).json;
		assert.ok(log.entries.length <= 10 && log.entries.length + log.dropped === 25);
		assert.equal(small.output, '');
		small.child.kill('SIGTERM');
		assert.equal(await small.exited, 0);
	});
	await test('ends when stdin closes', async () => {
		const guarded = await start('--quiet');
		guarded.child.stdin.end();
		assert.equal(await guarded.exited, 0);
	});
	await test('--fast answers creates without a token, and still has state and faults', async () => {
		const fast = await start('--fast', '--quiet');
		const make = () =>
			send(fast, 'POST', '/v2' + COACH, {
				headers: { 'content-type': 'application/json' },
				body: '{"topic":"t","agenda":"dibs:q"}',
			});
		const first = await make();
		assert.equal(first.status, 201);
		assert.ok(first.json.id > 2 ** 32 && first.json.join_url && first.json.start_url);
		assert.notEqual((await make()).json.id, first.json.id);
		const state = (await send(fast, 'GET', '/_control/state')).json;
		assert.deepEqual([state.meetingsEver, state.duplicatesLive, state.operations.creates], [2, 1, 2]);
		refused(await send(fast, 'GET', '/v2/users'), 401, 124);
		await send(fast, 'POST', '/_control/faults', { body: '{"kind":"status","status":500}' });
		assert.equal((await make()).status, 500);
	});
}

export async function tlsTests() {
	const key = join(scratch, 'key.pem');
	const cert = join(scratch, 'cert.pem');
	execFileSync(
		'openssl',
		[
			'req',
			'-x509',
			'-newkey',
			'rsa:2048',
			'-nodes',
			'-days',
			'2',
			'-subj',
			'/CN=localhost',
			'-addext',
			'subjectAltName=DNS:localhost,IP:127.0.0.1',
			'-keyout',
			key,
			'-out',
			cert,
		],
		{ stdio: 'ignore' },
	);
	const tls = await start('--tls', '--cert', cert, '--key', key, '--quiet');
	const ca = readFileSync(cert);
	const session = () => http2.connect(`https://127.0.0.1:${tls.port}`, { ca });
	const call = (client, method, path, headers = {}, body) =>
		new Promise((resolve, reject) => {
			const stream = client.request({ ':method': method, ':path': path, ...headers });
			let text = '';
			let head;
			stream.on('response', (received) => {
				head = received;
			});
			stream.on('data', (chunk) => {
				text += chunk;
			});
			stream.on('error', reject);
			stream.on('end', () =>
				head ? resolve({ status: head[':status'], text, headers: head }) : reject(new Error('aborted')),
			);
			stream.on('close', () => reject(new Error('closed')));
			stream.end(body);
		});
	const FORM = { authorization: S2S, 'content-type': 'application/x-www-form-urlencoded' };

	await test('HTTP/1.1 over TLS', async () => {
		const reply = await send(tls, 'GET', '/v2/users', { secure: true });
		refused(reply, 401, 124);
	});
	await test('HTTP/2: many streams, one connection; 204 without body', async () => {
		const client = session();
		const { text } = await call(
			client,
			'POST',
			'/oauth/token',
			FORM,
			'grant_type=account_credentials&account_id=standin-account',
		);
		const token = JSON.parse(text);
		assert.equal(token.api_url, `https://127.0.0.1:${tls.port}`);
		const headers = { authorization: `Bearer ${token.access_token}`, 'content-type': 'application/json' };
		const replies = await Promise.all(
			Array.from({ length: 20 }, (_, i) =>
				call(
					client,
					'POST',
					'/v2' + COACH,
					headers,
					JSON.stringify({ topic: `h2 ${i}`, start_time: tomorrow() }),
				),
			),
		);
		assert.ok(replies.every(({ status }) => status === 201));
		const gone = await call(client, 'DELETE', `/v2/meetings/${JSON.parse(replies[0].text).id}`, {
			authorization: headers.authorization,
		});
		assert.deepEqual([gone.status, gone.text], [204, '']);
		const { entries } = JSON.parse((await call(client, 'GET', '/_control/log')).text);
		const ours = entries.filter(({ httpVersion }) => httpVersion === '2.0');
		assert.equal(ours.length, 22);
		assert.equal(new Set(ours.map(({ connection }) => connection)).size, 1);
		client.close();
	});
	await test('HTTP/2: reset of a stream, of the connection, truncation, timeout', async () => {
		const client = session();
		client.on('error', () => {});
		const fault = (rule) =>
			call(client, 'POST', '/_control/faults', {}, JSON.stringify({ match: { path: '^/v2' }, ...rule }));
		await fault({ kind: 'reset' });
		await assert.rejects(call(client, 'GET', '/v2/users'));
		assert.equal((await call(client, 'GET', '/v2/users')).status, 401);
		await fault({ kind: 'truncate' });
		await assert.rejects(call(client, 'GET', '/v2/users'));
		await fault({ kind: 'timeout' });
		const hanging = assert.rejects(call(client, 'GET', '/v2/users'));
		await sleep(50);
		await call(client, 'DELETE', '/_control/faults');
		await hanging;
		await fault({ kind: 'reset', connection: true });
		await assert.rejects(call(client, 'GET', '/v2/users'));
		await sleep(50);
		assert.ok(client.destroyed || client.closed);
		const second = session();
		assert.equal((await call(second, 'GET', '/v2/users')).status, 401);
		second.close();
	});
}

/** Only where the provider's documents are at hand: what passes must conform, and what does not must be listed. */
export async function specTests() {
	if (!specDir) {
		await test('state says that no documents were given', async () =>
			assert.match((await control('GET', 'state')).specs, /none given/));
		return;
	}
	await test('all that the stand-in accepted and answered so far conforms to the documents', async () => {
		assert.deepEqual((await control('GET', 'state')).specs, ['zoom-meetings.json', 'zoom-users.json']);
		for (const [path, entries] of Object.entries(seenViolations)) assert.deepEqual(entries, [], path);
	});
	await test('violations are listed and counted', async () => {
		await fresh();
		await api('POST', COACH, { topik: 'x', duration: '30', settings: { audio: 'loud' } });
		const entry = await lastEntry();
		for (const part of [/body\.topik/, /body\.duration/, /body\.settings\.audio/])
			assert.ok(
				entry.conformance.some((line) => part.test(line)),
				String(part),
			);
		await api('GET', `${COACH}?typ=x&page_size=900`);
		assert.equal((await lastEntry()).conformance.length, 2);
		await api('GET', '/nonsense');
		assert.match((await lastEntry()).conformance[0], /no operation/);
		assert.equal((await control('GET', 'state')).counters.violations, 6);
	});
	await test('a zone that is not on the list is refused', async () =>
		refused(await api('POST', COACH, { timezone: 'America/Toronto' }), 400, 300));
}
