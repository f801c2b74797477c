/** The gate before the upgrade: by number of connections, by rate, and while draining. */
import t from 'tap';
import { AdmissionGate } from '../../../src/front/admission.ts';
import { FrontMetrics } from '../../../src/front/front-metrics.ts';

const START_MS = 1_000;

function open(options: { connectionsMax?: number; connectRatePerSecond?: number } = {}) {
  const metrics = new FrontMetrics();
  const gate = new AdmissionGate({ connectionsMax: 10, connectRatePerSecond: 4, ...options }, metrics, START_MS);
  /** How many of `asked` are let in. */
  const admit = (asked: number, nowMs: number): number =>
    Array.from({ length: asked }, () => gate.admit(0, false, nowMs)).filter(({ admitted }) => admitted).length;
  return { gate, metrics, admit };
}

for (const { connectionCount, admitted } of [
  { connectionCount: 0, admitted: true },
  { connectionCount: 9, admitted: true },
  { connectionCount: 10, admitted: false },
  { connectionCount: 11, admitted: false },
]) {
  t.test(`with ${connectionCount} of 10 connections one more is ${admitted ? 'let in' : 'refused'}`, async (t) => {
    const { gate, metrics } = open();
    const admission = gate.admit(connectionCount, false, START_MS);
    t.equal(admission.admitted, admitted);
    if (!admitted) t.match(admission, { reason: /connectionsMax=10/, retryAfterSeconds: 5 });
    t.match(metrics, { connectionsRefusedLimit: admitted ? 0 : 1, connectionsRefusedRate: 0 });
  });
}

for (const { name, afterMs, asked, want } of [
  { name: 'a burst of a second’s size', afterMs: 0, asked: 10, want: 4 },
  { name: 'no more than that after a long silence', afterMs: 60_000, asked: 10, want: 4 },
]) {
  t.test(`the rate: ${name}`, async (t) => {
    const { gate, metrics, admit } = open();
    t.equal(admit(asked, START_MS + afterMs), want);
    t.match(gate.admit(0, false, START_MS + afterMs), {
      admitted: false,
      reason: /connectRatePerSecond=4/,
      retryAfterSeconds: 1,
    });
    t.equal(metrics.connectionsRefusedRate, asked - want + 1);
  });
}

t.test('the rate: a token every quarter of a second, half a one is none', async (t) => {
  const { admit } = open();
  admit(4, START_MS);
  t.equal(admit(1, START_MS + 249), 0);
  t.equal(admit(2, START_MS + 250), 1);
  t.equal(admit(9, START_MS + 1_000), 3);
});

t.test('the rate: many small steps of the clock lose nothing', async (t) => {
  const { admit } = open();
  admit(4, START_MS);
  let admitted = 0;
  for (let ms = 1; ms <= 10_000; ms++) admitted += admit(1, START_MS + ms);
  t.ok(Math.abs(admitted - 40) <= 1, `${admitted} in ten seconds at four a second`);
});

t.test('a clock that steps back neither gives nor takes', async (t) => {
  const { admit } = open();
  admit(3, START_MS);
  t.equal(admit(2, START_MS - 500), 1);
  t.equal(admit(2, START_MS), 2, 'what was taken back is given again as the clock goes on');
});

t.test('who is refused for the limit uses up no rate', async (t) => {
  const { gate, admit } = open();
  for (let count = 0; count < 50; count++) gate.admit(10, false, START_MS);
  t.equal(admit(10, START_MS), 4);
});

t.test('while draining nobody is let in', async (t) => {
  const { gate, metrics } = open();
  t.match(gate.admit(0, true, START_MS), { admitted: false, reason: /shutting down/, retryAfterSeconds: 5 });
  t.match(metrics, { connectionsRefusedDraining: 1, connectionsRefusedLimit: 0, connectionsRefusedRate: 0 });
});
