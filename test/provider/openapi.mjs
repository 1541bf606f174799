// Holds requests, and our own answers, against a provider's OpenAPI documents. Knows OpenAPI 3.0, no provider.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a folder may hold: a provider's documents, and what stands before their paths. */
const DOCUMENTS = {
	zoom: { names: ['zoom-meetings.json', 'zoom-users.json'], base: '/v2' },
	cal: { names: ['calcom-v2.json'], base: '/cal' },
};
const TIMEZONES = 'zoom-timezones-2021.json';

/** String formats that are checked; Zoom writes local times without Z under date-time too. */
const FORMATS = {
	'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?$/,
	date: /^\d{4}-\d\d-\d\d$/,
	email: /^[^\s@]+@[^\s@]+$/,
};

/** Reads a provider's documents that a folder holds; undefined when it holds none. */
export function loadSpecs(dir, provider = 'zoom') {
	const { names: wanted, base } = DOCUMENTS[provider];
	const names = wanted.filter((name) => existsSync(join(dir, name)));
	if (names.length === 0) return undefined;
	const specs = new Specs(
		names,
		names.map((name) => linked(JSON.parse(readFileSync(join(dir, name), 'utf8')))),
		base,
	);
	const zones = join(dir, TIMEZONES);
	if (existsSync(zones)) specs.timezones = new Set(JSON.parse(readFileSync(zones, 'utf8')).map(([id]) => id));
	return specs;
}

/** The document with every $ref replaced by what it names; schemas may then contain themselves. */
function linked(document) {
	const target = (node) => {
		while (typeof node?.$ref === 'string')
			node = node.$ref
				.slice(2)
				.split('/')
				.reduce((at, part) => at?.[part], document);
		return node;
	};
	const seen = new Set();
	const todo = [document];
	while (todo.length > 0) {
		const node = todo.pop();
		if (seen.has(node)) continue;
		seen.add(node);
		for (const [key, value] of Object.entries(node)) {
			if (value === null || typeof value !== 'object') continue;
			node[key] = target(value) ?? {};
			todo.push(node[key]);
		}
	}
	return document;
}

class Specs {
	constructor(names, documents, base) {
		this.names = names;
		this.routes = documents.flatMap((document) =>
			Object.entries(document.paths).map(([path, methods]) => ({
				path,
				methods,
				fixed: path.split('/').filter((part) => !part.startsWith('{')).length,
				pattern: new RegExp(
					'^' + base + path.replace(/[.]/g, '\\.').replace(/\{(\w+)\}/g, '(?<$1>[^/]+)') + '$',
				),
			})),
		);
		// The path with more fixed parts wins: /users/me/zak before /users/{userId}/{other}.
		this.routes.sort((one, other) => other.fixed - one.fixed);
	}

	find(method, path) {
		for (const { methods, pattern, path: template } of this.routes) {
			const match = pattern.exec(path);
			const operation = match && methods[method.toLowerCase()];
			if (operation) return { operation, template, params: match.groups ?? {} };
		}
		return undefined;
	}

	/** Violations of a request, as texts; an empty array is a pass. */
	checkRequest({ method, path, query, headers, body }) {
		const found = this.find(method, path);
		if (!found) return [`no operation ${method} ${path} in the documents`];
		const { operation, params } = found;
		const violations = [];
		const declared = operation.parameters ?? [];
		for (const name of new Set(query.keys()))
			if (!declared.some((parameter) => parameter.in === 'query' && parameter.name === name))
				violations.push(`query ${name}: not in the document`);
		for (const { name, in: place, required, schema } of declared) {
			const text =
				place === 'query'
					? query.get(name)
					: place === 'path'
						? decode(params[name])
						: (headers[name.toLowerCase()] ?? null);
			if (text === null || text === undefined) {
				if (required) violations.push(`${place} ${name}: required`);
			} else if (schema) check(fromText(text, schema), schema, `${place} ${name}`, violations);
		}
		const content = operation.requestBody?.content;
		if (!content && body.length > 0) violations.push('body: this operation takes none');
		if (content && (body.length > 0 || operation.requestBody.required))
			checkBody(content, headers, body, violations);
		return violations;
	}

	/** Violations of our own answer: the stand-in must not give what the provider never would. */
	checkAnswer({ method, path }, { status, body }) {
		const found = this.find(method, path);
		const response = found?.operation.responses?.[status];
		if (!response) return [`answer ${status}: not in the document`];
		const schema = response.content?.['application/json']?.schema;
		const violations = [];
		if (schema && body !== undefined) check(JSON.parse(JSON.stringify(body)), schema, 'answer', violations);
		else if (!schema && body !== undefined) violations.push(`answer ${status}: the document has no body`);
		return violations;
	}
}

function checkBody(content, headers, body, violations) {
	const type = (headers['content-type'] ?? '').split(';')[0].trim();
	const schema = content[type]?.schema;
	if (!schema) {
		violations.push(`content-type ${type || '(none)'}: the document has ${Object.keys(content).join(', ')}`);
		return;
	}
	try {
		check(JSON.parse(body), schema, 'body', violations);
	} catch (error) {
		violations.push(`body: ${error.message}`);
	}
}

/** Holds a JSON value against a schema; appends what is wrong. */
function check(value, schema, where, violations) {
	if (value === null) {
		if (!schema.nullable) violations.push(`${where}: null`);
		return;
	}
	const flat = flatten(schema);
	if (flat.alternatives) {
		const attempts = flat.alternatives.map((alternative) => {
			const found = [];
			check(value, alternative, where, found);
			return found;
		});
		if (!attempts.some((found) => found.length === 0)) violations.push(...attempts[0]);
		return;
	}
	if (flat.type && !hasType(value, flat.type)) {
		violations.push(`${where}: ${typeof value}, not ${flat.type}`);
		return;
	}
	if (flat.enum && !flat.enum.includes(value) && !isCommaList(value, flat))
		violations.push(`${where}: ${JSON.stringify(value)} is none of ${flat.enum.join(', ')}`);
	if (typeof value === 'string') checkString(value, flat, where, violations);
	else if (typeof value === 'number') {
		if (value > (flat.maximum ?? Infinity) || value < (flat.minimum ?? -Infinity))
			violations.push(`${where}: ${value} is out of bounds`);
	} else if (Array.isArray(value)) {
		if (value.length > (flat.maxItems ?? Infinity) || value.length < (flat.minItems ?? 0))
			violations.push(`${where}: ${value.length} items`);
		value.forEach((item, index) => flat.items && check(item, flat.items, `${where}[${index}]`, violations));
	} else if (typeof value === 'object') checkObject(value, flat, where, violations);
}

function checkString(value, schema, where, violations) {
	const length = [...value].length;
	if (length > (schema.maxLength ?? Infinity) || length < (schema.minLength ?? 0))
		violations.push(`${where}: ${length} characters`);
	if (schema.pattern && !new RegExp(schema.pattern).test(value))
		violations.push(`${where}: does not match ${schema.pattern}`);
	const format = FORMATS[schema.format];
	if (format && value !== '' && !format.test(value)) violations.push(`${where}: not a ${schema.format}`);
}

function checkObject(value, schema, where, violations) {
	for (const name of schema.required ?? []) if (!(name in value)) violations.push(`${where}.${name}: required`);
	if (!schema.properties) return;
	for (const [name, member] of Object.entries(value)) {
		const property = Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
		if (property) check(member, property, `${where}.${name}`, violations);
		else if (!schema.additionalProperties) violations.push(`${where}.${name}: not in the document`);
	}
}

/** allOf folded into one schema; anyOf and oneOf as alternatives. */
function flatten(schema) {
	if (schema.anyOf || schema.oneOf) return { alternatives: schema.anyOf ?? schema.oneOf };
	if (!schema.allOf) return schema;
	const merged = { type: 'object', properties: {}, required: [] };
	for (const part of schema.allOf.map(flatten)) {
		Object.assign(merged.properties, part.properties);
		merged.required.push(...(part.required ?? []));
	}
	return merged;
}

/** weekly_days: the document lists the single digits and says in words that they may be joined by commas. */
function isCommaList(value, schema) {
	return (
		typeof value === 'string' &&
		value.includes(',') &&
		/comma/i.test(schema.description ?? '') &&
		value.split(',').every((item) => schema.enum.includes(item))
	);
}

function hasType(value, type) {
	switch (type) {
		case 'integer':
			return Number.isSafeInteger(value);
		case 'array':
			return Array.isArray(value);
		case 'object':
			return typeof value === 'object' && !Array.isArray(value);
		default:
			return typeof value === type;
	}
}

/** A query or path text as the value its schema's type would read. */
function fromText(text, schema = {}) {
	if (schema.type === 'integer' && /^-?\d+$/.test(text)) return Number(text);
	if (schema.type === 'number' && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
	if (schema.type === 'array') return text.split(',');
	if (schema.type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
	return text;
}

function decode(text) {
	try {
		return text === undefined ? undefined : decodeURIComponent(text);
	} catch {
		return text;
	}
}
