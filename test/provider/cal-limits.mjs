// Cal.com's limits: so many requests a minute for a key, then everything is blocked for another minute.

const DEFAULTS = {
	apiKey: 120,
	accessToken: 500,
	client: 500,
	ip: 120,
	people: 5, // guests and location, each on its own
	windowMs: 60000,
	blockMs: 60000,
};

export class CalLimits {
	constructor(clock) {
		this.clock = clock;
		this.reset();
	}

	reset() {
		this.config = { ...DEFAULTS };
		this.windows = new Map();
		this.counters = { throttled: 0, blocks: 0, most: 0 };
	}

	configure(changes) {
		for (const name of Object.keys(changes))
			if (!(name in DEFAULTS))
				throw new Error(`unknown limit ${name}; known: ${Object.keys(DEFAULTS).join(', ')}`);
		Object.assign(this.config, changes);
		this.windows.clear();
	}

	/** Uses up one request of `key`. 0 is no limit. Returns {refused, headers}; there is no Retry-After. */
	take(key, limit, name = 'Default') {
		if (!(limit > 0)) return { refused: false, headers: {} };
		const { windowMs, blockMs } = this.config;
		const now = this.clock();
		let window = this.windows.get(key);
		if (!window || (now >= window.until && now >= window.blockedUntil))
			this.windows.set(key, (window = { used: 0, until: now + windowMs, blockedUntil: 0 }));
		let refused = now < window.blockedUntil;
		if (!refused && ++window.used > limit) {
			window.blockedUntil = now + blockMs;
			this.counters.blocks++;
			refused = true;
		}
		this.counters.most = Math.max(this.counters.most, Math.min(window.used, limit));
		if (refused) this.counters.throttled++;
		return {
			refused,
			headers: {
				[`X-RateLimit-Limit-${name}`]: String(limit),
				[`X-RateLimit-Remaining-${name}`]: String(Math.max(limit - window.used, 0)),
				[`X-RateLimit-Reset-${name}`]: String(
					Math.ceil((Math.max(window.until, window.blockedUntil) - now) / 1000),
				),
			},
		};
	}
}
