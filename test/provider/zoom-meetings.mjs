// Zoom's meetings: made, listed, changed, run, ended, deleted, recovered.

import { randomInt } from 'node:crypto';
import { answer } from './http.mjs';
import { Backstage } from './zoom-backstage.mjs';
import { updateOccurrence } from './zoom-fields.mjs';
import { page } from './zoom-page.mjs';
import { Refusal, badField } from './zoom-refusal.mjs';
import { DAY, MINUTE, occurrenceStarts, parseStart, utc } from './zoom-time.mjs';
import { freshPasscode, freshUuid, listed, shown } from './zoom-views.mjs';
import { problems } from './validate.mjs';

/** A one-time meeting's id dies 30 days after its date, that of a series after a year. */
const ONE_TIME_LIFE_MS = 30 * DAY;
const SERIES_LIFE_MS = 365 * DAY;

export class Meetings {
	constructor({ clock, users, limits, timezones }) {
		Object.assign(this, { clock, users, limits, timezones });
		this.backstage = new Backstage(this);
		this.reset();
	}

	reset() {
		this.byId = new Map();
		this.backstage.reset();
		this.listDelayMs = 0;
		this.counters = { creates: 0, updates: 0, deletes: 0, ends: 0, recovers: 0, byHost: {} };
	}

	configure({ listDelayMs }) {
		if (listDelayMs !== undefined) this.listDelayMs = listDelayMs;
	}

	config() {
		return { listDelayMs: this.listDelayMs };
	}

	// Operations

	createMeeting({ params, body, held, entry }) {
		const host = this.users.resolve(params.userId, held);
		const owner = this.scheduledFor(host, body);
		entry.host = owner.email;
		// What has passed the field tables uses up one of the host's day, whatever comes of it.
		this.requireHostQuota(owner);
		this.requireSense(body, owner);
		const meeting = this.make(owner, body, entry);
		this.count('creates', owner);
		entry.meeting = meeting.id;
		entry.marker = this.backstage.markerOf(meeting);
		return answer(201, shown(meeting, owner));
	}

	getMeeting({ params, query, held, entry }) {
		const meeting = this.find(params.meetingId, held, entry);
		const show = booleanQuery(query, 'show_previous_occurrences');
		const occurrence = this.occurrenceOf(meeting, query);
		const reply = { ...shown(meeting, this.ownerOf(meeting)), assistant_id: '' };
		if (occurrence) Object.assign(reply, { start_time: utc(occurrence.start), duration: occurrence.duration });
		else if (meeting.occurrences && !show)
			reply.occurrences = reply.occurrences.filter(
				({ start_time }) => Date.parse(start_time) >= this.clock() - DAY,
			);
		return answer(200, reply);
	}

	updateMeeting({ params, query, body, held, entry }) {
		const meeting = this.find(params.meetingId, held, entry);
		const host = this.ownerOf(meeting);
		this.requireHostQuota(host);
		if (meeting.running)
			throw new Refusal(400, 3002, 'Sorry, you cannot update this meeting since it is in progress.');
		const occurrence = this.occurrenceOf(meeting, query);
		if (occurrence) this.changeOccurrence(occurrence, body, meeting);
		else {
			if (body.schedule_for !== undefined)
				throw new Refusal(400, 3000, `You cannot schedule a meeting for ${body.schedule_for}`);
			this.requireSense({ type: meeting.type, ...body }, host);
			this.apply(meeting, body, host, entry);
		}
		this.tell?.('meeting.updated', meeting);
		this.count('updates', host);
		entry.marker = this.backstage.markerOf(meeting);
		return answer(204);
	}

	deleteMeeting({ params, query, held, entry }) {
		booleanQuery(query, 'schedule_for_reminder');
		booleanQuery(query, 'cancel_meeting_reminder');
		if (this.users.byPmi(params.meetingId)) throw new Refusal(400, 3018, 'Not allowed to delete PMI.');
		const meeting = this.find(params.meetingId, held, entry);
		if (meeting.running)
			throw new Refusal(400, 3002, 'Sorry, you cannot delete this meeting since it is in progress.');
		if (meeting.ended && meeting.type === 1)
			throw new Refusal(400, 3007, 'Sorry, you cannot delete this meeting since it has ended.');
		const occurrence = this.occurrenceOf(meeting, query);
		if (occurrence) occurrence.status = 'deleted';
		else meeting.deleted = this.clock();
		if (!occurrence) this.tell?.('meeting.deleted', meeting);
		this.count('deletes', this.ownerOf(meeting));
		entry.marker = this.backstage.markerOf(meeting);
		return answer(204);
	}

	meetingStatus({ params, body, held, entry }) {
		if (body.action === 'recover') {
			const meeting = this.find(params.meetingId, held, entry, { deleted: true });
			meeting.deleted = undefined;
			this.tell?.('meeting.recovered', meeting);
			this.count('recovers', this.ownerOf(meeting));
			return answer(204);
		}
		const meeting = this.find(params.meetingId, held, entry);
		// What Zoom answers when the meeting does not run is not documented.
		if (meeting.running) this.finish(meeting);
		else entry.anomalies.push('end_not_running');
		this.count('ends', this.ownerOf(meeting));
		return answer(204);
	}

	listMeetings({ params, query, held, entry }) {
		const host = this.users.resolve(params.userId, held);
		entry.host = host.email;
		const type = query.get('type') ?? 'scheduled';
		const selects = this.listTypes()[type];
		if (!selects) throw badField('type');
		const [from, to] = ['from', 'to'].map((name) => dateQuery(query, name));
		const now = this.clock();
		const found = [...this.byId.values()].filter(
			(meeting) =>
				meeting.hostId === host.id &&
				!this.isGone(meeting) &&
				meeting.created + this.listDelayMs <= now &&
				selects(meeting) &&
				(from === undefined || meeting.start >= from) &&
				(to === undefined || meeting.start < to + DAY),
		);
		found.sort((one, other) => one.start - other.start || one.id - other.id);
		const { items, ...frame } = page(found, query, { scope: `meetings:${host.id}:${type}`, now });
		return answer(200, { ...frame, meetings: items.map((meeting) => listed(meeting, host)) });
	}

	/** Which meetings each ?type= shows; instant ones only while they run. */
	listTypes() {
		const now = this.clock();
		const end = (meeting) => meeting.start + meeting.duration * MINUTE;
		const upcoming = (meeting) =>
			meeting.type !== 1 &&
			(meeting.type === 3 ||
				end(meeting) > now ||
				meeting.occurrences?.some(({ start, status }) => status === 'available' && start > now));
		return {
			scheduled: (meeting) => meeting.type !== 1,
			live: (meeting) => meeting.running,
			upcoming,
			upcoming_meetings: upcoming,
			previous_meetings: (meeting) => meeting.type !== 1 && (meeting.ended || end(meeting) <= now),
		};
	}

	// Checks

	scheduledFor(host, body) {
		if (host.status !== 'active' || host.type === 4)
			throw new Refusal(
				400,
				3161,
				'Your user account is not allowed meeting hosting and scheduling capabilities.',
			);
		// A basic user can host at Zoom, for 40 minutes; a stand-in that let it pass would hide a wrong host.
		if (host.type !== 2)
			throw new Refusal(
				400,
				3161,
				'Your user account is not allowed meeting hosting and scheduling capabilities.',
			);
		if (body.schedule_for === undefined) return host;
		if (body.type === 1)
			throw new Refusal(
				400,
				3000,
				"Instant meetings do not support the `schedule_for` parameter, and you can't schedule " +
					'an instant meeting for another user.',
			);
		const other = this.users.find(body.schedule_for);
		if (!other)
			throw new Refusal(
				400,
				300,
				'The value that you entered in the schedule_for field is invalid. ' +
					'Enter a valid value and try again.',
			);
		if (other !== host && !host.can_schedule_for.includes(other.email))
			throw new Refusal(400, 3000, `You cannot schedule a meeting for ${body.schedule_for}`);
		return other;
	}

	requireHostQuota(host) {
		const refusal = this.limits.host(host.id);
		if (refusal) throw Object.assign(new Error('host quota'), { reply: refusal });
	}

	/** What the field tables cannot see: fields that contradict each other, users that do not exist. */
	requireSense(body, host) {
		const { recurrence, settings = {}, type = 2 } = body;
		if (type === 8 && 'recurrence' in body === false && 'start_time' in body)
			throw badField('recurrence', 'This field is required.');
		if (recurrence?.end_times !== undefined && recurrence.end_date_time !== undefined)
			throw badField('recurrence.end_times', 'end_times and end_date_time exclude each other.');
		const most = { 1: 99, 2: 50, 3: 10 }[recurrence?.type];
		if (recurrence?.repeat_interval > most) throw badField('recurrence.repeat_interval');
		if (body.pre_schedule && type !== 2 && type !== 3)
			throw new Refusal(
				400,
				3000,
				'Prescheduling is only available for scheduled meetings (type 2) and recurring meetings ' +
					'with no fixed time (type 3).',
			);
		if (body.password && body.password.length < host.passcode_min_length)
			throw badField('password', 'The passcode does not meet the requirements of the account.');
		if (settings.request_permission_to_unmute_participants && settings.allow_host_control_participant_mute_state)
			throw badField('settings.allow_host_control_participant_mute_state');
		for (const name of (settings.alternative_hosts ?? '').split(';').filter(Boolean)) {
			const other = this.users.find(name);
			if (!other || other === host || other.type !== 2 || other.status !== 'active')
				throw badField('settings.alternative_hosts', `${name} cannot be an alternative host.`);
		}
		if (this.timezones && body.timezone !== undefined && !this.timezones.has(body.timezone))
			throw badField('timezone', 'Not on the list of time zones.');
	}

	/** The meeting a path names, as the bearer may see it. `deleted` true looks for a deleted one. */
	find(id, held, entry, { deleted = false } = {}) {
		if (!/^\d{9,12}$/.test(id)) throw new Refusal(400, 300, `Invalid meeting ID: ${id}.`);
		const meeting = this.byId.get(Number(id));
		if (
			!meeting ||
			meeting.expired ||
			(deleted ? !meeting.deleted : meeting.deleted) ||
			(!deleted && this.isGone(meeting))
		)
			throw new Refusal(404, 3001, `Meeting does not exist: ${id}.`);
		const owner = this.ownerOf(meeting);
		if (held.kind === 'user' && this.users.find(held.user) !== owner)
			throw new Refusal(400, 3003, "You are not the meeting's host.");
		entry.host = owner.email;
		entry.meeting = meeting.id;
		return meeting;
	}

	isGone(meeting) {
		if (meeting.deleted || meeting.expired) return true;
		const last = meeting.occurrences?.at(-1)?.start ?? meeting.start;
		const life = meeting.type === 3 || meeting.type === 8 ? SERIES_LIFE_MS : ONE_TIME_LIFE_MS;
		return Math.max(last, meeting.lastRun ?? 0) + life < this.clock();
	}

	occurrenceOf(meeting, query) {
		const id = query.get('occurrence_id');
		if (id === null) return undefined;
		const found = meeting.occurrences?.find(
			(occurrence) => occurrence.occurrence_id === id && occurrence.status === 'available',
		);
		if (!found) throw new Refusal(400, 300, 'Invalid parameter: occurrence_id.');
		return found;
	}

	// State

	make(host, body, entry) {
		const now = this.clock();
		const meeting = {
			id: this.freshId(),
			uuid: freshUuid(),
			hostId: host.id,
			type: 2,
			topic: 'Zoom Meeting',
			agenda: '',
			duration: 60,
			timezone: host.timezone,
			start: now,
			created: now,
			running: false,
			instances: [],
			settings: {
				host_video: false,
				participant_video: false,
				join_before_host: false,
				jbh_time: 0,
				mute_upon_entry: false,
				watermark: false,
				use_pmi: host.use_pmi,
				approval_type: 2,
				registration_type: 1,
				audio: 'both',
				auto_recording: 'none',
				alternative_hosts: '',
				alternative_hosts_email_notification: true,
				email_notification: true,
				meeting_authentication: false,
				waiting_room: host.waiting_room,
				close_registration: false,
				private_meeting: false,
				encryption_type: 'enhanced_encryption',
				allow_multiple_devices: false,
				focus_mode: false,
				show_share_button: false,
				registrants_confirmation_email: true,
				registrants_email_notification: true,
				calendar_type: 2,
			},
		};
		const generate = host.require_passcode && (body.default_password !== false || host.passcode_locked);
		const { default_password: _, schedule_for: __, ...fields } = body;
		if (!fields.password && generate) fields.password = freshPasscode();
		if (fields.start_time === undefined && (fields.type ?? 2) === 2) entry.anomalies.push('start_time_missing');
		this.apply(meeting, fields, host, entry);
		this.byId.set(meeting.id, meeting);
		this.tell?.('meeting.created', meeting);
		return meeting;
	}

	/** Writes checked fields into a meeting, with Zoom's silent corrections; each of these is an anomaly in the log. */
	apply(meeting, body, host, entry) {
		const { start_time, settings, recurrence, ...plain } = body;
		Object.assign(meeting, plain);
		Object.assign(meeting.settings, settings);
		if (start_time !== undefined) {
			const start = parseStart(start_time, meeting.timezone);
			if (meeting.type === 1 || meeting.type === 3) entry.anomalies.push('start_time_ignored');
			else if (start < this.clock()) entry.anomalies.push('start_time_past');
			else meeting.start = start;
		}
		if (recurrence !== undefined && meeting.type !== 8) entry.anomalies.push('recurrence_ignored');
		else if (recurrence !== undefined) meeting.recurrence = recurrence;
		if (meeting.type === 8 && meeting.recurrence)
			meeting.occurrences = occurrenceStarts(meeting.start, meeting.timezone, meeting.recurrence).map(
				(start) => ({ occurrence_id: String(start), start, duration: meeting.duration, status: 'available' }),
			);

		const effective = meeting.settings;
		if (!meeting.password && !effective.meeting_authentication && !effective.waiting_room) {
			effective.waiting_room = true;
			entry.anomalies.push('waiting_room_forced');
		}
		if (effective.waiting_room && effective.join_before_host) {
			effective.join_before_host = false;
			entry.anomalies.push('join_before_host_off');
		}
		if (effective.use_pmi && meeting.type !== 2 && meeting.type !== 3) effective.use_pmi = false;
	}

	changeOccurrence(occurrence, body, meeting) {
		const errors = problems(updateOccurrence, body);
		if (errors.length > 0) throw new Refusal(400, 300, 'Validation Failed.', errors);
		if (body.start_time !== undefined) occurrence.start = parseStart(body.start_time, meeting.timezone);
		if (body.duration !== undefined) occurrence.duration = body.duration;
	}

	begin(meeting) {
		// A uuid belongs to one run; the first run has the one the meeting was made with.
		if (meeting.instances.length > 0) meeting.uuid = freshUuid();
		meeting.running = true;
		meeting.lastRun = this.clock();
		meeting.instances.push({ uuid: meeting.uuid, start: meeting.lastRun, end: undefined });
		this.tell?.('meeting.started', meeting, { start_time: utc(meeting.lastRun) });
	}

	finish(meeting) {
		meeting.running = false;
		meeting.ended = true;
		meeting.instances.at(-1).end = this.clock();
		this.tell?.('meeting.ended', meeting, { end_time: utc(this.clock()) });
		meeting.uuid = freshUuid();
		meeting.lastRun = this.clock();
	}

	ownerOf(meeting) {
		return this.users.find(meeting.hostId);
	}

	/** 11 digits, above 2^32: an id that does not fit an int4 shows at once. */
	freshId() {
		for (;;) {
			const id = randomInt(80000000000, 90000000000);
			if (!this.byId.has(id)) return id;
		}
	}

	// Small things

	count(what, host) {
		this.counters[what]++;
		const own = (this.counters.byHost[host.email] ??= { creates: 0, updates: 0, deletes: 0, ends: 0, recovers: 0 });
		own[what]++;
	}
}

function booleanQuery(query, name) {
	const value = query.get(name);
	if (value !== null && value !== 'true' && value !== 'false') throw badField(name);
	return value === 'true';
}

function dateQuery(query, name) {
	const value = query.get(name);
	if (value === null) return undefined;
	if (!/^\d{4}-\d\d-\d\d$/.test(value) || Number.isNaN(Date.parse(value))) throw badField(name);
	return Date.parse(value);
}
