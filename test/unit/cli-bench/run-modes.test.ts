/** Whole runs in the modes where connections come and go, against a fake relay. */

import t from 'tap';
import { MEASURED, MEMBERS, run } from './small-run.ts';

t.setTimeout(110_000);

t.test('mode reconnect: everyone comes back and has missed nothing', async (t) => {
  const { result } = await run({}, { mode: 'reconnect', durationSeconds: 1, connectRate: 200 });
  t.match(result, { lost: 0, duplicated: 0, reordered: 0, expected: 200 * MEMBERS, delivered: 200 * MEMBERS });
  t.match(result.reconnect, { cut: 20, recovered: 20, nonRecovered: 0, notBack: 0 });
  t.ok((result.reconnect?.replayed ?? 0) > 0);
  t.ok((result.reconnect?.backMs ?? 0) > 0);
});

t.test('mode reconnect: a server that forgets is found out', async (t) => {
  const { result } = await run({ forgetsHistory: true }, { mode: 'reconnect', durationSeconds: 1, connectRate: 200 });
  t.match(result.reconnect, { cut: 20, recovered: 0, nonRecovered: 20, nonRecoveredByReason: { EPOCH_CHANGED: 20 }, notBack: 0 });
  t.ok(result.lost > 0);
  t.equal(result.expected, 200 * MEMBERS);
});

t.test('mode churn: who leaves on purpose loses nothing', async (t) => {
  const { result } = await run({}, { mode: 'churn', churnRate: 60, awayMs: 50, durationSeconds: 1 });
  t.match(result, { lost: 0, duplicated: 0, reordered: 0 });
  t.ok((result.churn?.left ?? 0) > 10 && (result.churn?.cameBack ?? 0) > 5);
  t.ok(result.delivered < 200 * MEMBERS);
  t.equal(result.expected, result.delivered);
});

t.test('mode slow: who does not read counts for nothing', async (t) => {
  const { result } = await run({}, { mode: 'slow', slowShare: 0.5 });
  const slow = result.slow?.members ?? 0;
  t.ok(slow > 2 && slow < 16);
  t.ok(result.delivered < MEASURED * MEMBERS);
  t.match(result, { lost: 0, duplicated: 0, reordered: 0, slow: { endedByCode: {} } });
});
