// Cal.com's way to say no: {status: "error", timestamp, path, error: {code, message, details}}.

import { answer } from './http.mjs';

const CODES = {
	400: 'BadRequestException',
	401: 'UnauthorizedException',
	403: 'ForbiddenException',
	404: 'NotFoundException',
	409: 'ConflictException',
	429: 'ThrottlerException',
	498: 'TokenExpiredException',
};

/** Thrown by an operation that is refused; Cal.handle() makes the answer of it. */
export class CalRefusal extends Error {
	constructor(status, message, details) {
		super(message);
		Object.assign(this, { status, details });
	}

	reply(path, now) {
		return answer(this.status, {
			status: 'error',
			timestamp: new Date(now).toISOString(),
			path,
			error: {
				code: CODES[this.status] ?? 'HttpException',
				message: this.message,
				// Nest repeats what it refused, the caller's own input included.
				details: this.details ?? { message: this.message, error: CODES[this.status], statusCode: this.status },
			},
		});
	}
}

/** A field that class-validator refuses; the value comes back in the answer. */
export function invalid(property, value, constraint) {
	return new CalRefusal(400, `${property} property is wrong, ${constraint}`, {
		errors: [{ target: { [property]: value }, value, property, constraints: { isValid: constraint } }],
	});
}

export function isZone(zone) {
	try {
		new Intl.DateTimeFormat('en', { timeZone: zone });
		return typeof zone === 'string';
	} catch {
		return false;
	}
}
