// Zoom's event notifications: what happens in meetings becomes events, signed as Zoom signs them. They wait in an outbox:
// a test takes them from there and delivers, loses, doubles or shuffles them, or has them posted to a URL, with Zoom's
// retries. Recordings, too, which nothing else in the stand-in knows of.

import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { answer } from './http.mjs';
import { Refusal } from './zoom-refusal.mjs';
import { utc } from './zoom-time.mjs';

/** Minutes after which Zoom tries a delivery again that was answered with 5xx, or not at all. */
const RETRIES = [5, 20, 60];
const ANSWER_MS = 3000;
/** 'object.id' is a number in these, text in all others. */
const NUMERIC_ID = /^meeting\.(created|updated|deleted|recovered)$|^recording\./;

export class ZoomWebhooks {
	constructor({ clock, meetings, sleep }) {
		Object.assign(this, { clock, meetings, sleep });
		meetings.tell = (event, meeting, object, more) => this.emit(event, meeting, object, more);
		this.reset();
	}

	reset() {
		this.secret = undefined;
		this.minuteMs = 60000;
		this.outbox = [];
		this.sent = 0;
		this.people = new Map();
		this.recordings = new Map();
	}

	configure({ webhookSecret, webhookMinuteMs }) {
		this.secret = webhookSecret ?? this.secret;
		this.minuteMs = webhookMinuteMs ?? this.minuteMs;
	}

	config() {
		return { webhookMinuteMs: this.minuteMs };
	}

	/** An event of a meeting's. Without a secret there is no subscription, and nothing is sent. */
	emit(event, meeting, object = {}, more = {}) {
		if (this.secret === undefined) return;
		const host = this.meetings.ownerOf(meeting);
		this.queue(event, {
			event,
			event_ts: this.clock(),
			payload: {
				account_id: 'standin-account',
				object: {
					id: NUMERIC_ID.test(event) ? meeting.id : String(meeting.id),
					uuid: meeting.uuid,
					host_id: host.id,
					topic: meeting.topic,
					type: meeting.type,
					start_time: utc(meeting.start),
					duration: meeting.duration,
					timezone: meeting.timezone,
					...object,
				},
			},
			...more,
		});
	}

	queue(event, content) {
		// Zoom writes characters beyond the BMP as escapes and others as they are: the signature is over those bytes.
		const body = JSON.stringify(content).replace(/[\ud800-\udfff]/g, (unit) => '\\u' + unit.charCodeAt(0).toString(16).toUpperCase());
		this.outbox.push({ n: ++this.sent, event, body });
	}

	/** A try at a delivery: the signature is of the moment of sending. */
	signed({ n, event, body }) {
		const sentAt = String(Math.floor(this.clock() / 1000));
		return {
			n,
			event,
			headers: {
				'content-type': 'application/json; charset=utf-8',
				'user-agent': 'Zoom Marketplace/1.0a',
				'x-zm-request-id': randomUUID(),
				'x-zm-request-timestamp': sentAt,
				'x-zm-signature': 'v0=' + createHmac('sha256', this.secret).update(`v0:${sentAt}:${body}`).digest('hex'),
			},
			body,
		};
	}

	/** GET webhooks?since=N&order=shuffle|reverse&double=PERCENT&seed=N: deliveries to hand in. */
	take(query) {
		const random = seeded(Number(query.get('seed') ?? 1));
		let list = this.outbox.filter(({ n }) => n > Number(query.get('since') ?? 0));
		list = list.flatMap((one) => (random() * 100 < Number(query.get('double') ?? 0) ? [one, one] : [one]));
		if (query.get('order') === 'reverse') list.reverse();
		if (query.get('order') === 'shuffle')
			for (let i = list.length - 1; i > 0; i--) {
				const j = Math.floor(random() * (i + 1));
				[list[i], list[j]] = [list[j], list[i]];
			}
		return { deliveries: list.map((one) => this.signed(one)), last: this.sent };
	}

	/** POST webhooks {url, since}: posts them one after the other, with Zoom's retries; says what came of each. */
	async deliver({ url, since = 0 }) {
		const results = [];
		for (const one of this.outbox.filter(({ n }) => n > since)) {
			let status;
			let tries = 0;
			for (const wait of [0, ...RETRIES]) {
				await this.sleep(wait * this.minuteMs);
				tries++;
				status = await post(url, this.signed(one));
				// 3xx and 4xx are Zoom's last word: the event is lost
				if (status !== undefined && status < 500) break;
			}
			results.push({ n: one.n, event: one.event, status: status ?? 'no answer', tries, lost: !(status >= 200 && status < 300) });
		}
		return { results, last: this.sent };
	}

	/** POST webhooks {validate: true}: what Zoom asks at set-up and every 72 hours. */
	validate() {
		const plainToken = randomBytes(16).toString('base64url');
		this.queue('endpoint.url_validation', { payload: { plainToken }, event_ts: this.clock(), event: 'endpoint.url_validation' });
		return { plainToken, encryptedToken: createHmac('sha256', this.secret).update(plainToken).digest('hex') };
	}

	/** POST people/MEETING {do: wait|admit|join|leave, name, email, registrant}: somebody at a meeting's door. */
	act(id, { do: act, name = 'Somebody', email = '', registrant = '' }) {
		const meeting = this.meetings.byId.get(Number(id));
		if (!meeting) throw new Error(`no meeting ${id}`);
		const host = this.meetings.ownerOf(meeting);
		const key = `${id} ${name}`;
		const own = email === host.email ? host.id : '';
		const now = utc(this.clock());
		if (act === 'join' || act === 'wait') {
			if (act === 'join' && !meeting.running) this.meetings.begin(meeting);
			this.people.set(key, this.people.get(key)?.waits && act === 'join' ? { ...this.people.get(key), waits: false } : { user: String(16778240 + this.people.size * 1024), uuid: randomUUID(), waits: act === 'wait', meeting: meeting.id });
		}
		const person = this.people.get(key);
		if (!person) throw new Error(`${name} is not there`);
		const [event, time] = {
			wait: ['joined_waiting_room', 'date_time'],
			admit: ['admitted', 'date_time'],
			join: ['joined', 'join_time'],
			leave: ['left', 'leave_time'],
		}[act] ?? [];
		if (!event) throw new Error('do is wait, admit, join or leave');
		const participant = {
			user_id: person.user,
			user_name: name,
			id: own,
			participant_user_id: own,
			participant_uuid: person.uuid,
			email,
			registrant_id: registrant,
			[time]: now,
		};
		if (act === 'leave') {
			participant.leave_reason = `${name} left the meeting.<br>Reason: left the meeting`;
			this.people.delete(key);
		}
		this.emit(`meeting.participant_${event}`, meeting, { participant });
		return { user_id: person.user };
	}

	/** POST recording/MEETING {do: start|pause|resume|stop|complete|trash|recover|delete}. */
	record(id, { do: act }) {
		const meeting = this.meetings.byId.get(Number(id));
		if (!meeting) throw new Error(`no meeting ${id}`);
		const run = meeting.instances.at(-1);
		if (!run) throw new Error('it has not run');
		const now = utc(this.clock());
		const live = { start: 'started', pause: 'paused', resume: 'resumed', stop: 'stopped' }[act];
		if (live) {
			this.emit(`recording.${live}`, meeting, { uuid: run.uuid, recording_file: { recording_start: now, recording_end: act === 'stop' ? now : '' } });
			return { uuid: run.uuid };
		}
		const done = { complete: 'completed', trash: 'trashed', recover: 'recovered', delete: 'deleted' }[act];
		if (!done) throw new Error('do is start, pause, resume, stop, complete, trash, recover or delete');
		const files = (act === 'complete' ? undefined : this.recordings.get(run.uuid)?.files) ?? [
			file('shared_screen_with_speaker_view', 'MP4', run, now),
			file('audio_only', 'M4A', run, now),
		];
		this.recordings.set(run.uuid, { meeting: meeting.id, state: done, files });
		this.emit(
			`recording.${done}`,
			meeting,
			{ uuid: run.uuid, host_email: this.meetings.ownerOf(meeting).email, recording_count: files.length, share_url: 'https://us05web.zoom.us/rec/share/x', recording_play_passcode: 'STANDIN-PLAY-SECRET', recording_files: files },
			act === 'delete' ? {} : { download_token: token() },
		);
		return { uuid: run.uuid, files: files.map(({ id: fileId }) => fileId) };
	}

	/** GET /meetings/{id or uuid}/recordings, with a fresh token where include_fields asks for one. */
	getRecordings({ params, query, held, entry }) {
		// The path has been decoded once; a uuid that begins with a slash or has two in a row is decoded twice.
		const named = (uuid) => (uuid.startsWith('/') || uuid.includes('//') ? encodeURIComponent(uuid) : uuid);
		const byId = [...this.recordings].filter(([uuid, { meeting }]) => named(uuid) === params.meetingId || String(meeting) === params.meetingId);
		const [uuid, recording] = byId.at(-1) ?? [];
		if (!recording || recording.state === 'deleted' || recording.state === 'trashed') throw new Refusal(404, 3301, 'This recording does not exist.');
		const meeting = this.meetings.find(String(recording.meeting), held, entry);
		const ttl = Number(query.get('ttl') ?? 0);
		if (!(ttl >= 0 && ttl <= 604800)) throw new Refusal(400, 300, 'Invalid field.');
		return answer(200, {
			uuid,
			id: meeting.id,
			host_id: meeting.hostId,
			topic: meeting.topic,
			type: '2',
			start_time: utc(meeting.start),
			duration: meeting.duration,
			recording_count: recording.files.length,
			recording_files: recording.files,
			...(query.get('include_fields') === 'download_access_token' ? { download_access_token: token() } : {}),
		});
	}
}

function token() {
	return 'STANDIN-DOWNLOAD-SECRET.' + randomBytes(12).toString('base64url');
}

function file(type, format, run, now) {
	const id = randomUUID();
	return {
		id,
		meeting_id: run.uuid,
		recording_start: utc(run.start),
		recording_end: now,
		recording_type: type,
		file_type: format,
		file_extension: format,
		file_size: 123456,
		play_url: `https://us05web.zoom.us/rec/play/${id}`,
		download_url: `https://us05web.zoom.us/rec/download/${id}`,
		status: 'completed',
	};
}

/** The status, or undefined where none came in Zoom's three seconds. */
function post(url, { headers, body }) {
	return new Promise((resolve) => {
		const request = (url.startsWith('https:') ? https : http).request(url, { method: 'POST', headers, timeout: ANSWER_MS }, (response) => {
			response.resume();
			response.on('end', () => resolve(response.statusCode));
		});
		request.on('timeout', () => request.destroy());
		request.on('error', () => resolve(undefined));
		request.end(body);
	});
}

/** Mulberry32: the same order for the same seed. */
function seeded(seed) {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	};
}
