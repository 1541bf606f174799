// Paging as Zoom does it: page_size with next_page_token (dies after 15 minutes), or page_number.

import { randomBytes } from 'node:crypto';
import { Refusal, badField } from './zoom-refusal.mjs';

const TOKEN_LIFE_MS = 15 * 60 * 1000;
const MAX_TOKENS = 10000;

const tokens = new Map();

const whole = (query, name, fallback, max) => {
	const text = query.get(name);
	if (text === null) return fallback;
	if (!/^\d+$/.test(text) || Number(text) < 1 || Number(text) > max) throw badField(name);
	return Number(text);
};

/** One page of `all`. A token is good for the same listing (`scope`) only. */
export function page(all, query, { max = 300, scope, now }) {
	const size = whole(query, 'page_size', 30, max);
	const number = whole(query, 'page_number', undefined, Infinity);
	const given = query.get('next_page_token');
	let offset = number ? (number - 1) * size : 0;
	if (given) {
		const held = tokens.get(given);
		if (!held || held.scope !== scope || held.expires <= now)
			throw new Refusal(400, 300, 'The next page token is either invalid or expired.');
		offset = held.offset;
	}
	const items = all.slice(offset, offset + size);
	let next = '';
	if (offset + size < all.length && !number) {
		next = randomBytes(24).toString('base64url');
		tokens.set(next, { scope, offset: offset + size, expires: now + TOKEN_LIFE_MS });
		if (tokens.size > MAX_TOKENS) tokens.delete(tokens.keys().next().value);
	}
	return {
		...(number ? { page_count: Math.max(1, Math.ceil(all.length / size)), page_number: number } : {}),
		page_size: size,
		total_records: all.length,
		next_page_token: next,
		items,
	};
}
