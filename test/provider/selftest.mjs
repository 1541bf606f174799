// The stand-in's own test: starts servers, tries every endpoint, refusal, limit, fault. Ends with "N passed, N failed".

import { failed, gather, passed, startZoom, stopAll } from './selftest/harness.mjs';
import { calTests } from './selftest/cal.mjs';
import { faultTests } from './selftest/faults.mjs';
import { houseTests, specTests, tlsTests } from './selftest/house.mjs';
import { meetingTests } from './selftest/meetings.mjs';
import { oauthTests } from './selftest/oauth.mjs';
import { limitTests, peopleTests } from './selftest/people.mjs';

try {
	await startZoom();
	for (const part of [oauthTests, meetingTests, peopleTests, limitTests, faultTests, calTests, houseTests]) await part();
	await gather();
	await specTests();
	await tlsTests();
} finally {
	stopAll();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
