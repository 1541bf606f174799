// Wall clocks, time zones and recurrences as Zoom reads them.

const MINUTE = 60000;
const DAY = 86400000;
/** Zoom returns at most so many occurrences of a series. */
const MAX_OCCURRENCES = 50;

const formats = new Map();

/** What UTC offset, in ms, a zone has at an instant. */
function offsetAt(instant, zone) {
	let format = formats.get(zone);
	if (!format) {
		// SST is on Zoom's list but not in IANA's; it names Solomon time there.
		format = new Intl.DateTimeFormat('en-US', {
			timeZone: zone === 'SST' ? 'Pacific/Guadalcanal' : zone,
			hourCycle: 'h23',
			year: 'numeric',
			month: 'numeric',
			day: 'numeric',
			hour: 'numeric',
			minute: 'numeric',
			second: 'numeric',
		});
		formats.set(zone, format);
	}
	const part = Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]));
	return (
		Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) -
		Math.floor(instant / 1000) * 1000
	);
}

/** The instant at which a zone's clocks show `wall` (ms as if UTC); in a gap, the clock before the jump counts on. */
export function instantOf(wall, zone) {
	const guess = wall - offsetAt(wall, zone);
	return wall - offsetAt(guess, zone);
}

/** start_time in ms: UTC with Z, else local in `zone`. */
export function parseStart(text, zone) {
	return text.endsWith('Z') ? Date.parse(text) : instantOf(Date.parse(text + 'Z'), zone);
}

export function utc(ms) {
	return new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}

/** Starts of a series (type 8), in ms, by the rule in `recurrence` as local wall clock. */
export function occurrenceStarts(first, zone, recurrence) {
	const { type, repeat_interval: step = 1, end_times: times = 0, end_date_time: until } = recurrence;
	const wall = first + offsetAt(first, zone);
	const limit = Math.min(times > 0 ? times : MAX_OCCURRENCES, MAX_OCCURRENCES);
	const end = until ? Date.parse(until) : Infinity;
	const starts = [];
	for (const candidate of candidates(type, wall, step, recurrence)) {
		if (candidate < wall) continue;
		const start = instantOf(candidate, zone);
		if (start > end || starts.push(start) >= limit) break;
	}
	return starts;
}

function* candidates(type, wall, step, rule) {
	const midnight = Math.floor(wall / DAY) * DAY;
	const timeOfDay = wall - midnight;
	if (type === 1) {
		for (let day = 0; ; day += step) yield wall + day * DAY;
	}
	if (type === 2) {
		const sunday = midnight - new Date(midnight).getUTCDay() * DAY;
		const days = (rule.weekly_days ?? '1')
			.split(',')
			.map((day) => Number(day) - 1)
			.sort();
		for (let week = 0; ; week += step) for (const day of days) yield sunday + (week * 7 + day) * DAY + timeOfDay;
	}
	const from = new Date(midnight);
	for (let month = 0; month < 12 * MAX_OCCURRENCES; month += step) {
		const day = dayOfMonth(from.getUTCFullYear(), from.getUTCMonth() + month, rule);
		if (day !== undefined) yield day + timeOfDay;
	}
}

/** The day a monthly rule names in a month, or undefined where the month has no such day. */
function dayOfMonth(year, month, rule) {
	const first = Date.UTC(year, month, 1);
	const length = (Date.UTC(year, month + 1, 1) - first) / DAY;
	if (rule.monthly_week === undefined) {
		const day = rule.monthly_day ?? 1;
		return day <= length ? first + (day - 1) * DAY : undefined;
	}
	const ahead = ((rule.monthly_week_day ?? 1) - 1 - new Date(first).getUTCDay() + 7) % 7;
	if (rule.monthly_week > 0) return first + (ahead + (rule.monthly_week - 1) * 7) * DAY;
	return first + (ahead + Math.floor((length - 1 - ahead) / 7) * 7) * DAY;
}

export { DAY, MINUTE };
