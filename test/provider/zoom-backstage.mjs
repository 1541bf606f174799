// What a test does to meetings behind the caller's back, and what it counts of them.

import { answer } from './http.mjs';
import { createMeeting, updateMeeting } from './zoom-fields.mjs';
import { utc } from './zoom-time.mjs';
import { problems } from './validate.mjs';
import { joinUrl, shown } from './zoom-views.mjs';

/** How a caller's marker is recognised in topic, agenda or tracking fields, to count duplicates. */
const DEFAULT_MARKER = 'dibs[:=/ ][A-Za-z0-9:._/-]+';

export class Backstage {
	constructor(meetings) {
		this.meetings = meetings;
		this.reset();
	}

	reset() {
		this.markerPattern = new RegExp(DEFAULT_MARKER);
	}

	configure({ marker }) {
		if (marker !== undefined) this.markerPattern = new RegExp(marker);
	}

	config() {
		return { marker: this.markerPattern.source };
	}

	/** --fast: a meeting with its id, topic, agenda and links; nothing checked, nothing generated that nobody reads. */
	fastCreate(userId, chunks) {
		const body = JSON.parse(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
		const host = this.meetings.users.find(decodeURIComponent(userId)) ?? this.meetings.users.all[0];
		const id = 80000000000 + this.meetings.byId.size;
		const now = this.meetings.clock();
		const start = body.start_time ? Date.parse(body.start_time) : now;
		const meeting = {
			id,
			uuid: 'fast' + id,
			hostId: host.id,
			type: body.type ?? 2,
			topic: body.topic ?? '',
			agenda: body.agenda ?? '',
			duration: body.duration ?? 60,
			timezone: body.timezone ?? 'UTC',
			start,
			created: now,
			running: false,
			instances: [],
			settings: body.settings ?? {},
			password: body.password ?? 'fast',
		};
		this.meetings.byId.set(id, meeting);
		this.meetings.counters.creates++;
		return answer(201, {
			uuid: meeting.uuid,
			id,
			host_id: host.id,
			host_email: host.email,
			topic: meeting.topic,
			type: meeting.type,
			status: 'waiting',
			start_time: body.start_time,
			duration: meeting.duration,
			timezone: meeting.timezone,
			created_at: body.start_time,
			join_url: joinUrl(id, meeting.password),
			start_url: `https://us05web.zoom.us/s/${id}?zak=STANDIN-ZAK-SECRET.fast`,
			password: meeting.password,
			settings: meeting.settings,
		});
	}

	/** POST /_control/meeting {host, ...fields}: a meeting made behind the caller's back, in Zoom's own client say. */
	plant({ host: name = 'coach@example.com', ...fields }) {
		const host = this.meetings.users.find(name);
		if (!host) throw new Error(`no user ${name}`);
		const errors = problems(createMeeting, fields);
		if (errors.length > 0) throw new Error(JSON.stringify(errors));
		return shown(this.meetings.make(host, fields, { anomalies: [] }), host);
	}

	/** POST /_control/meeting/{id}: {running}, {deleted}, {expired}, {created}, or any field a PATCH may carry. */
	direct(id, { running, deleted, expired, created, ...fields }) {
		const meeting = this.meetings.byId.get(Number(id));
		if (!meeting) throw new Error(`no meeting ${id}`);
		if (running === true && !meeting.running) this.meetings.begin(meeting);
		if (running === false && meeting.running) this.meetings.finish(meeting);
		if (deleted !== undefined) {
			meeting.deleted = deleted ? this.meetings.clock() : undefined;
			this.meetings.tell?.(deleted ? 'meeting.deleted' : 'meeting.recovered', meeting);
		}
		if (expired !== undefined) meeting.expired = expired;
		if (created !== undefined) meeting.created = Date.parse(created);
		const errors = problems(updateMeeting, fields);
		if (errors.length > 0) throw new Error(JSON.stringify(errors));
		this.meetings.apply(meeting, fields, this.meetings.ownerOf(meeting), { anomalies: [] });
		if (Object.keys(fields).length > 0) this.meetings.tell?.('meeting.updated', meeting);
		return this.summary(meeting);
	}

	inspect(id) {
		const meeting = this.meetings.byId.get(Number(id));
		if (!meeting) throw new Error(`no meeting ${id}`);
		return {
			...this.summary(meeting),
			settings: meeting.settings,
			timezone: meeting.timezone,
			password: meeting.password,
			recurrence: meeting.recurrence,
			occurrences: meeting.occurrences,
			tracking_fields: meeting.tracking_fields,
		};
	}

	summary(meeting) {
		const { id, uuid, topic, agenda, type, duration, running, instances } = meeting;
		return {
			id,
			uuid,
			host: this.meetings.ownerOf(meeting).email,
			topic,
			agenda,
			type,
			start_time: utc(meeting.start),
			duration,
			running,
			instances,
			created_at: new Date(meeting.created).toISOString(),
			deleted: Boolean(meeting.deleted),
			expired: Boolean(meeting.expired),
			marker: this.markerOf(meeting),
		};
	}

	markerOf({ agenda, topic, tracking_fields }) {
		const places = [agenda, topic, ...(tracking_fields ?? []).map(({ value }) => value ?? '')];
		for (const place of places) {
			const found = this.markerPattern.exec(place);
			if (found) return found[1] ?? found[0];
		}
		return undefined;
	}

	/** Markers that more than one meeting bears: `live` now, `ever` counting deleted ones. */
	duplicates() {
		const seen = new Map();
		for (const meeting of this.meetings.byId.values()) {
			const marker = this.markerOf(meeting);
			if (marker === undefined) continue;
			const tally = seen.get(marker) ?? { marker, live: 0, ever: 0, ids: [] };
			tally.ever++;
			tally.live += this.meetings.isGone(meeting) ? 0 : 1;
			tally.ids.push(meeting.id);
			seen.set(marker, tally);
		}
		return [...seen.values()].filter(({ ever }) => ever > 1);
	}

	state() {
		const duplicates = this.duplicates();
		const all = [...this.meetings.byId.values()];
		return {
			operations: this.meetings.counters,
			meetingsLive: all.filter((meeting) => !this.meetings.isGone(meeting)).length,
			meetingsEver: all.length,
			duplicatesLive: duplicates.filter(({ live }) => live > 1).length,
			duplicates,
			meetings: all.map((meeting) => this.summary(meeting)),
		};
	}
}
