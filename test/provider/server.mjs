// The provider stand-in: listens, hands each request to its provider, lets faults happen on the way.
// See README.md for how to start and steer it.

import http from 'node:http';
import http2 from 'node:http2';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { answer, readBody, write } from './http.mjs';
import { createControl } from './control.mjs';
import { Faults, isTokenFault, sleep } from './faults.mjs';
import { Journal } from './journal.mjs';
import { loadSpecs } from './openapi.mjs';
import { Cal } from './cal.mjs';
import { Zoom } from './zoom.mjs';

const OPTIONS = {
	port: { type: 'string', default: '0' },
	'port-file': { type: 'string' },
	'control-port-file': { type: 'string' },
	tls: { type: 'boolean', default: false },
	cert: { type: 'string' },
	key: { type: 'string' },
	'spec-dir': { type: 'string' },
	latency: { type: 'string', default: '0' },
	'log-cap': { type: 'string', default: '100000' },
	fast: { type: 'boolean', default: false },
	quiet: { type: 'boolean', default: false },
	'stdin-guard': { type: 'boolean', default: false },
};

const { values: options } = parseArgs({ options: OPTIONS });
const say = options.quiet ? () => {} : (text) => process.stdout.write(text + '\n');

const specs = options['spec-dir'] ? loadSpecs(options['spec-dir']) : undefined;
const calSpecs = options['spec-dir'] ? loadSpecs(options['spec-dir'], 'cal') : undefined;
const settings = { latency: Number(options.latency), fast: options.fast, clockOffsetMs: 0 };
const clock = () => Date.now() + settings.clockOffsetMs;
const journal = new Journal(options.fast ? 0 : Number(options['log-cap']));
const faults = new Faults();

// A further provider is one more line here; README.md says what it must offer.
const providers = { cal: new Cal({ clock, specs: calSpecs, settings }), zoom: new Zoom({ clock, specs, settings }) };
const control = createControl({ journal, faults, providers, settings, specs });

/** One request from arrival to the last byte of its answer. */
async function serve(req, res) {
	// A peer that resets is part of the play; without a listener the error would end the process.
	req.on('error', () => {});
	res.on('error', () => {});
	const cut = req.url.indexOf('?');
	const path = cut < 0 ? req.url : req.url.slice(0, cut);
	const query = new URLSearchParams(cut < 0 ? '' : req.url.slice(cut + 1));

	if (path.startsWith('/_control')) {
		write(res, await control(req.method, path, query, await readBody(req)));
		return;
	}
	const provider = Object.values(providers).find((candidate) => candidate.claims(path));
	const entry = journal.open(req.method, path, query, req, connectionOf(req));
	let answered = false;
	try {
		const body = await readBody(req);
		journal.noteBody(entry, req.headers, body);
		const call = { method: req.method, path, query, headers: req.headers, body, entry };
		answered = await perform(provider, call, req, res);
	} catch (error) {
		entry.status ??= error.message === 'request body too large' ? 413 : undefined;
		if (entry.status === 413) write(res, answer(413, { code: 300, message: 'Request entity too large.' }));
		else if (!/went away|aborted|ECONNRESET/.test(error.message)) {
			process.stderr.write(`${req.method} ${path}: ${error.stack}\n`);
			if (!res.headersSent) write(res, answer(500, { code: 500, message: 'stand-in failed: ' + error.message }));
		}
	} finally {
		journal.close(entry, answered);
		say(`${req.method} ${path} ${entry.status ?? 'no answer'}`);
	}
}

/** Faults before acting, the provider's own work, faults after acting. Resolves to whether a full answer went out. */
async function perform(provider, call, req, res) {
	const { entry } = call;
	const struck = faults.pick(call.method, call.path);
	entry.faults = struck.map((rule) => `${rule.kind} ${rule.when}`);
	if (settings.latency > 0) await sleep(settings.latency);

	let reply;
	for (const when of ['before', 'after']) {
		if (when === 'after') {
			reply = provider ? provider.handle(call) : answer(404, { message: 'nothing lives at this path' });
			entry.status = reply.status;
		}
		for (const rule of struck.filter((candidate) => candidate.when === when)) {
			if (rule.kind === 'delay') {
				await sleep(rule.ms ?? 1000);
				continue;
			}
			if (isTokenFault(rule)) {
				provider?.spoilToken(call.headers, rule.kind);
				continue;
			}
			const substitute = faults.substitute(rule, call.path, reply ?? {});
			if (substitute === undefined) return faults.strike(rule, req, res, reply);
			reply = substitute;
			entry.status = reply.status;
			if (when === 'before') {
				write(res, reply);
				return true;
			}
		}
	}
	if (res.destroyed || res.stream?.destroyed || req.socket?.destroyed) return false;
	write(res, reply);
	return true;
}

/** Serial number of the connection, and with HTTP/2 of the session. */
function connectionOf(req) {
	const carrier = req.stream?.session ?? req.socket;
	carrier.standinNumber ??= ++connectionsNumbered;
	return carrier.standinNumber;
}
let connectionsNumbered = 0;

/** --fast: no log, no checks, no promises on the way; a create costs one JSON.parse and one JSON.stringify. */
function serveFast(req, res) {
	if (req.url.startsWith('/_control') || faults.rules.length > 0) {
		guarded(req, res);
		return;
	}
	const chunks = [];
	req.on('data', (chunk) => chunks.push(chunk));
	req.on('end', () => {
		const counters = journal.counters;
		counters.requests++;
		counters.accepted++;
		const reply = providers.zoom.fast(req.method, req.url, chunks, req.headers);
		if (settings.latency > 0) setTimeout(write, settings.latency, res, reply);
		else write(res, reply);
	});
}

function guarded(req, res) {
	serve(req, res).catch((error) => process.stderr.write(`${error.stack}\n`));
}

function createServer() {
	const listener = options.fast ? serveFast : guarded;
	if (!options.tls) return http.createServer({ keepAliveTimeout: 60000 }, listener);
	const material = { cert: readFileSync(options.cert), key: readFileSync(options.key) };
	return http2.createSecureServer({ ...material, allowHTTP1: true }, listener);
}

function main() {
	if (options.tls && !(options.cert && options.key)) {
		process.stderr.write('--tls needs --cert and --key\n');
		process.exit(2);
	}
	const server = createServer();
	const sockets = new Set();
	server.on(options.tls ? 'secureConnection' : 'connection', (socket) => {
		journal.counters.connections++;
		sockets.add(socket);
		socket.on('close', () => sockets.delete(socket));
		socket.on('error', () => {});
		socket.setNoDelay?.(true);
	});
	server.on('sessionError', () => {});
	server.on('tlsClientError', () => {});

	const stop = () => {
		faults.clear();
		server.close();
		for (const socket of sockets) socket.destroy();
		process.exit(0);
	};
	process.on('SIGTERM', stop);
	process.on('SIGINT', stop);
	if (options['stdin-guard']) {
		process.stdin.on('end', stop);
		process.stdin.on('close', stop);
		process.stdin.resume();
	}
	server.listen(Number(options.port), '127.0.0.1', () => {
		const { port } = server.address();
		settings.origin = `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`;
		if (options['port-file']) announce(options['port-file'], port);
		say(`listening on ${settings.origin}`);
	});
	if (options['control-port-file']) listenForControl();
}

/** A second, plain door for /_control alone: who steers a stand-in that speaks TLS need not speak it. */
function listenForControl() {
	const door = http.createServer((req, res) => {
		if (req.url.startsWith('/_control')) guarded(req, res);
		else write(res, answer(404, { message: 'only /_control lives at this port' }));
	});
	door.listen(0, '127.0.0.1', () => announce(options['control-port-file'], door.address().port));
}

/** Renamed into place: a reader never sees half a number. */
function announce(file, port) {
	writeFileSync(file + '.part', `${port}\n`);
	renameSync(file + '.part', file);
}

main();
