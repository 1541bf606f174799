// Webhook registrations, and what a state change would send. Nothing is posted: the test takes it from the outbox and
// delivers, loses, doubles or shuffles it.

import { createHmac, randomUUID } from 'node:crypto';
import { CalRefusal, invalid } from './cal-refusal.mjs';
import { webhookBody } from './cal-views.mjs';

const TRIGGERS = [
	'BOOKING_CREATED',
	'BOOKING_PAYMENT_INITIATED',
	'BOOKING_PAID',
	'BOOKING_RESCHEDULED',
	'BOOKING_REQUESTED',
	'BOOKING_CANCELLED',
	'BOOKING_REJECTED',
	'BOOKING_NO_SHOW_UPDATED',
	'FORM_SUBMITTED',
	'MEETING_ENDED',
	'MEETING_STARTED',
	'RECORDING_READY',
	'INSTANT_MEETING',
	'RECORDING_TRANSCRIPTION_GENERATED',
	'OOO_CREATED',
	'AFTER_HOSTS_CAL_VIDEO_NO_SHOW',
	'AFTER_GUESTS_CAL_VIDEO_NO_SHOW',
	'FORM_SUBMITTED_NO_EVENT',
	'ROUTING_FORM_FALLBACK_HIT',
	'DELEGATION_CREDENTIAL_ERROR',
	'WRONG_ASSIGNMENT_REPORT',
];

export class CalWebhooks {
	constructor({ clock, settings }) {
		Object.assign(this, { clock, settings });
		this.reset();
	}

	reset() {
		this.all = new Map();
		this.outbox = [];
		this.sender = '2026'; // or 'legacy', or 'mixed': one after the other
		this.sent = 0;
	}

	configure({ sender }) {
		if (sender !== undefined && !['2026', 'legacy', 'mixed'].includes(sender)) throw new Error(`unknown sender ${sender}`);
		this.sender = sender ?? this.sender;
	}

	/** Every registration that matches sends; the body's time is that of this moment. */
	emit(trigger, booking, extra = {}) {
		for (const webhook of this.all.values()) {
			if (webhook.userId !== booking.userId || !webhook.active || !webhook.triggers.includes(trigger)) continue;
			const generation = this.sender === 'mixed' ? (this.sent % 2 ? 'legacy' : '2026') : this.sender;
			const at = Math.max(this.clock(), booking.updatedAt);
			const body = JSON.stringify(webhookBody(this.bookings, booking, trigger, generation, at, extra));
			this.outbox.push({
				n: ++this.sent,
				url: webhook.subscriberUrl,
				trigger,
				uid: booking.uid,
				generation,
				headers: {
					'content-type': 'application/json',
					'x-cal-signature-256': webhook.secret
						? createHmac('sha256', webhook.secret).update(body).digest('hex')
						: 'no-secret-provided',
					...(generation === '2026' ? { 'x-cal-webhook-version': '2021-10-20' } : {}),
				},
				body,
			});
		}
	}

	take(since) {
		return this.outbox.filter(({ n }) => n > since);
	}

	view({ id, userId, subscriberUrl, active, triggers, secret, payloadTemplate }) {
		return { id, userId, subscriberUrl, active, triggers, secret: secret ?? undefined, payloadTemplate: payloadTemplate ?? '' };
	}

	own(id, actor) {
		const webhook = this.all.get(id);
		if (!webhook || webhook.userId !== actor.user.id) throw new CalRefusal(404, `Webhook (${id}) not found`);
		return webhook;
	}

	listWebhooks({ query, actor }) {
		const take = Number(query.get('take') ?? 250);
		const skip = Number(query.get('skip') ?? 0);
		if (!(take >= 1 && take <= 250)) throw invalid('take', take, 'take must be between 1 and 250');
		return [...this.all.values()]
			.filter(({ userId }) => userId === actor.user.id)
			.slice(skip, skip + take)
			.map((webhook) => this.view(webhook));
	}

	getWebhook({ params, actor }) {
		return this.view(this.own(params.webhookId, actor));
	}

	createWebhook({ body, actor }) {
		if (typeof body.active !== 'boolean') throw invalid('active', body.active, 'active must be a boolean value');
		if (body.triggers === undefined) throw invalid('triggers', undefined, 'triggers should not be empty');
		this.check(body);
		if ([...this.all.values()].some(({ userId, subscriberUrl }) => userId === actor.user.id && subscriberUrl === body.subscriberUrl))
			throw new CalRefusal(409, 'Webhook with this subscriber url already exists for this user');
		const webhook = { id: randomUUID(), userId: actor.user.id, ...body };
		this.all.set(webhook.id, webhook);
		return this.view(webhook);
	}

	updateWebhook({ params, body, actor }) {
		const webhook = this.own(params.webhookId, actor);
		this.check({ subscriberUrl: webhook.subscriberUrl, ...body });
		Object.assign(webhook, body);
		return this.view(webhook);
	}

	deleteWebhook({ params, actor }) {
		const webhook = this.own(params.webhookId, actor);
		this.all.delete(webhook.id);
		return this.view(webhook);
	}

	check({ subscriberUrl, triggers, version }) {
		let url;
		try {
			url = new URL(subscriberUrl);
		} catch {
			throw invalid('subscriberUrl', subscriberUrl, 'subscriberUrl must be a URL address');
		}
		if (url.protocol !== 'https:' || /^(localhost|127\.|10\.|192\.168\.|169\.254\.|\[)/.test(url.hostname))
			throw new CalRefusal(400, 'Webhook URL must use https and must not name a private address');
		for (const trigger of triggers ?? [])
			if (!TRIGGERS.includes(trigger)) throw invalid('triggers', trigger, `each value in triggers must be one of ${TRIGGERS.join(', ')}`);
		if (version !== undefined && version !== '2021-10-20') throw invalid('version', version, 'version must be 2021-10-20');
	}
}
