// How the self-test starts stand-ins and speaks to them.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { utc } from '../zoom-time.mjs';

const here = dirname(fileURLToPath(import.meta.url));
export const scratch = mkdtempSync(join(tmpdir(), 'standin-'));
const agent = new http.Agent({ keepAlive: false });

export let passed = 0;
export let failed = 0;
export async function test(name, body) {
	try {
		await body();
		passed++;
	} catch (error) {
		failed++;
		console.log(`not ok: ${name}\n  ${String(error.stack).split('\n').slice(0, 12).join('\n  ')}`);
	}
}

// Starting a server, and speaking to it

const servers = [];
export async function start(...args) {
	const portFile = join(scratch, `port${servers.length}`);
	const child = spawn(
		process.execPath,
		[join(here, '..', 'server.mjs'), '--port-file', portFile, '--stdin-guard', ...args],
		{ stdio: ['pipe', 'pipe', 'inherit'] },
	);
	const server = { child, output: '', exited: new Promise((resolve) => child.on('exit', (code) => resolve(code))) };
	child.stdout.on('data', (text) => {
		server.output += text;
	});
	servers.push(server);
	for (let tries = 0; !existsSync(portFile); tries++) {
		assert.ok(tries < 200 && child.exitCode === null, 'the server did not start');
		await sleep(25);
	}
	server.port = Number(readFileSync(portFile, 'utf8'));
	return server;
}
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** One request on its own connection. Rejects when the connection breaks or `timeout` passes. */
export function send(server, method, path, { headers = {}, body, timeout, secure } = {}) {
	return new Promise((resolve, reject) => {
		const options = {
			port: server.port,
			host: '127.0.0.1',
			method,
			path,
			headers,
			agent: secure ? undefined : agent,
			rejectUnauthorized: false,
			servername: 'localhost',
		};
		const request = (secure ? https : http).request(options, (response) => {
			const chunks = [];
			response.on('data', (chunk) => chunks.push(chunk));
			response.on('error', reject);
			response.on('aborted', () => reject(new Error('aborted')));
			response.on('end', () => {
				const bytes = Buffer.concat(chunks);
				let json;
				try {
					json = JSON.parse(bytes);
				} catch {
					/* not every answer is JSON */
				}
				resolve({
					status: response.statusCode,
					headers: response.headers,
					text: bytes.toString(),
					bytes,
					json,
				});
			});
		});
		request.on('error', reject);
		if (timeout) request.setTimeout(timeout, () => request.destroy(new Error('timed out')));
		request.end(body);
	});
}

/** The server most tests speak to, and the token they use; both change as tests go. */
export let zoom;
export let bearer;
export const specDir = process.argv.includes('--spec-dir')
	? process.argv[process.argv.indexOf('--spec-dir') + 1]
	: undefined;
export async function startZoom() {
	zoom = await start(...(specDir ? ['--spec-dir', specDir] : []));
	await login();
}

export const control = async (method, path, body) => {
	const reply = await send(zoom, method, '/_control/' + path, { body: body && JSON.stringify(body) });
	assert.equal(reply.status, 200, reply.text);
	return reply.json;
};
export const api = (method, path, body, { token = bearer, type = 'application/json', ...rest } = {}) =>
	send(zoom, method, '/v2' + path, {
		headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': type }) },
		body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
		...rest,
	});
export const basic = (id, secret) => 'Basic ' + Buffer.from(`${id}:${secret}`).toString('base64');
export const S2S = basic('standin-s2s-client', 'standin-s2s-secret');
export const USER_APP = basic('standin-user-client', 'standin-user-secret');
export const tokenRequest = (params, authorization = S2S, path = '/oauth/token') =>
	send(zoom, 'POST', path, {
		headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
		body: new URLSearchParams(params).toString(),
	});
export const login = async () => {
	bearer = (await tokenRequest({ grant_type: 'account_credentials', account_id: 'standin-account' })).json
		.access_token;
};
export const fresh = async () => {
	await gather();
	await control('POST', 'reset');
	await login();
};
export const lastEntry = async () => (await control('GET', 'log?limit=1')).entries[0];
export const tomorrow = (hours = 24) => utc(Date.now() + hours * 3600000);
export const COACH = '/users/coach@example.com/meetings';
export const create = async (fields = {}, path = COACH) => {
	const reply = await api('POST', path, { topic: 'Lesson', type: 2, start_time: tomorrow(), ...fields });
	assert.equal(reply.status, 201, reply.text);
	return reply.json;
};
export const refused = (reply, status, code, message) => {
	assert.equal(reply.status, status, reply.text);
	assert.equal(reply.json?.code, code, reply.text);
	if (message) assert.match(reply.json.message, message);
};
export const fails = async (promise, pattern = /reset|hang up|aborted|ECONN/i) => assert.rejects(promise, pattern);

export const seenViolations = { accepted: [], answers: [] };

/** Gathers, before a log is emptied, what of it the documents would not have let pass. */
export async function gather() {
	for (const entry of (await control('GET', 'log')).entries) {
		if (entry.accepted && entry.conformance.length > 0)
			seenViolations.accepted.push([entry.method, entry.path, entry.conformance]);
		if (entry.answerConformance.length > 0)
			seenViolations.answers.push([entry.method, entry.path, entry.answerConformance]);
	}
}

/** Ends every server and takes the scratch folder away. */
export function stopAll() {
	for (const { child } of servers) child.kill('SIGTERM');
	rmSync(scratch, { recursive: true, force: true });
}
