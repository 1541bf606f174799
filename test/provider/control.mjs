// /_control: what a test sees of the stand-in and how it steers it. JSON in, JSON out.

import { answer } from './http.mjs';

export function createControl({ journal, faults, providers, settings, specs }) {
	const { zoom } = providers;

	const routes = {
		'GET log': ({ query }) => ({
			dropped: journal.dropped,
			entries: journal.select({
				since: Number(query.get('since') ?? 0),
				limit: Number(query.get('limit') ?? Infinity),
				method: query.get('method')?.toUpperCase(),
				path: query.get('path') ?? undefined,
			}),
		}),
		'DELETE log': () => journal.clear(),
		'GET state': () => ({
			specs: specs ? specs.names : 'none given: requests are not held against the OpenAPI documents',
			fast: settings.fast,
			counters: journal.counters,
			...zoom.state(),
		}),
		'GET faults': () => ({ rules: faults.rules }),
		'POST faults': ({ body }) => ({ rules: [body].flat().map((spec) => faults.add(spec)) }),
		'DELETE faults': ({ rest }) => faults.clear(rest === undefined ? undefined : Number(rest)),
		'GET config': () => ({ ...settings, ...zoom.config() }),
		'POST config': ({ body }) => {
			const { latency, clockOffsetMs, ...others } = body;
			if (latency !== undefined) settings.latency = latency;
			if (clockOffsetMs !== undefined) settings.clockOffsetMs = clockOffsetMs;
			zoom.configure(others);
			return { ...settings, ...zoom.config() };
		},
		'POST reset': () => {
			faults.clear();
			journal.clear();
			settings.latency = 0;
			settings.clockOffsetMs = 0;
			zoom.reset();
		},
		'POST tokens': ({ body }) => zoom.oauth.spoil(body),
		'POST meeting': ({ body, rest }) =>
			rest ? zoom.meetings.backstage.direct(rest, body) : zoom.meetings.backstage.plant(body),
		'GET meeting': ({ rest }) => zoom.meetings.backstage.inspect(rest),
	};

	return async function control(method, path, query, bytes) {
		const [, , word, rest] = path.split('/');
		const route = routes[`${method} ${word}`];
		if (!route) return answer(404, { error: `no control call ${method} ${path}`, known: Object.keys(routes) });
		try {
			const body = bytes.length > 0 ? JSON.parse(bytes) : {};
			return answer(200, route({ body, query, rest }) ?? { ok: true });
		} catch (error) {
			return answer(400, { error: error.message });
		}
	};
}
