// /_control: what a test sees of the stand-in and how it steers it. JSON in, JSON out.

import { answer } from './http.mjs';

export function createControl({ journal, faults, providers, settings, specs }) {
	const { cal, zoom } = providers;

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
			cal: cal.state(),
		}),
		'GET faults': () => ({ rules: faults.rules }),
		'POST faults': ({ body }) => ({ rules: [body].flat().map((spec) => faults.add(spec)) }),
		'DELETE faults': ({ rest }) => faults.clear(rest === undefined ? undefined : Number(rest)),
		'GET config': () => ({ ...settings, ...zoom.config(), cal: cal.config() }),
		'POST config': ({ body }) => {
			const { latency, clockOffsetMs, cal: calChanges, ...others } = body;
			if (latency !== undefined) settings.latency = latency;
			if (clockOffsetMs !== undefined) settings.clockOffsetMs = clockOffsetMs;
			zoom.configure(others);
			if (calChanges) cal.configure(calChanges);
			return { ...settings, ...zoom.config(), cal: cal.config() };
		},
		'POST reset': () => {
			faults.clear();
			journal.clear();
			settings.latency = 0;
			settings.clockOffsetMs = 0;
			zoom.reset();
			cal.reset();
		},
		'POST tokens': ({ body }) => zoom.oauth.spoil(body),
		'POST meeting': ({ body, rest }) =>
			rest ? zoom.meetings.backstage.direct(rest, body) : zoom.meetings.backstage.plant(body),
		'GET webhooks': ({ query }) => zoom.webhooks.take(query),
		'POST webhooks': ({ body }) => (body.validate ? zoom.webhooks.validate() : zoom.webhooks.deliver(body)),
		'POST people': ({ body, rest }) => zoom.webhooks.act(rest, body),
		'POST recording': ({ body, rest }) => zoom.webhooks.record(rest, body),
		'GET cal': ({ query, rest }) => cal.backstage.look(rest, query),
		'POST cal': ({ body, rest }) => (rest === 'tokens' ? cal.people.spoil(body) : cal.backstage.act(rest, body)),
		'GET meeting': ({ rest }) => zoom.meetings.backstage.inspect(rest),
	};

	return async function control(method, path, query, bytes) {
		const [, , word, rest] = path.split('/');
		const route = routes[`${method} ${word}`];
		if (!route) return answer(404, { error: `no control call ${method} ${path}`, known: Object.keys(routes) });
		try {
			const body = bytes.length > 0 ? JSON.parse(bytes) : {};
			return answer(200, (await route({ body, query, rest })) ?? { ok: true });
		} catch (error) {
			return answer(400, { error: error.message });
		}
	};
}
