/** Fifo, emitter, back-off, deferred. */
import t from 'tap';
import { fullJitterMs, retryAfterMsIn } from '../../../src/client/backoff.ts';
import { Emitter } from '../../../src/client/emitter.ts';
import { Fifo } from '../../../src/client/fifo.ts';
import { findWebSocket } from '../../../src/client/platform.ts';

t.test('Fifo keeps order through growth and compaction', async (t) => {
  const fifo = new Fifo<number>();
  let pushed = 0;
  let taken = 0;
  for (let round = 0; round < 5_000; round++) {
    for (let index = 0; index < round % 7; index++) fifo.push(pushed++);
    for (let index = 0; index < round % 5; index++) {
      const item = fifo.shift();
      if (item !== undefined && item !== taken++) t.fail(`out of order: ${item}`);
    }
    if (fifo.length !== pushed - taken) t.fail('length');
  }
  t.equal(fifo.last(), pushed - 1);
  while (fifo.shift() !== undefined) taken++;
  t.equal(taken, pushed);
  t.equal(fifo.last(), undefined);
});

t.test('Emitter: off during an emit holds at once; the same function twice is two listeners', async (t) => {
  const emitter = new Emitter<{ a: [number] }>((error) => t.fail(`${error}`));
  const calls: string[] = [];
  emitter.on('a', () => offB());
  const offB = emitter.on('a', () => calls.push('b'));
  const c = () => calls.push('c');
  const offC = emitter.on('a', c);
  emitter.on('a', c);
  t.equal(emitter.emit('a', 1), true);
  t.same(calls, ['c', 'c']);
  offC();
  offC();
  emitter.emit('a', 1);
  t.same(calls, ['c', 'c', 'c']);
  emitter.clear();
  t.notOk(emitter.has('a'));
  t.throws(() => emitter.on('a', undefined as never), TypeError);
});

for (const { attempt, random, want } of [
  { attempt: 0, random: 0, want: 0 },
  { attempt: 0, random: 0.5, want: 50 },
  { attempt: 3, random: 0.5, want: 400 },
  { attempt: 4, random: 0.5, want: 500 },
  { attempt: 5_000, random: 0.5, want: 500 },
])
  t.equal(
    fullJitterMs(attempt, 100, 1_000, () => random),
    want,
    `full jitter, attempt ${attempt}`,
  );

for (const { reason, want } of [
  { reason: 'over capacity: retryAfterMs=1500', want: 1_500 },
  { reason: 'retryAfterMs=0, lane=3', want: 0 },
  { reason: 'retryAfterMs=', want: undefined },
  { reason: '', want: undefined },
])
  t.equal(retryAfterMsIn(reason), want, `retryAfterMs in '${reason}'`);

t.test('the platform’s WebSocket, the injected one, and what is said where there is none', async (t) => {
  const injected = class {} as never;
  t.equal(await findWebSocket(injected), injected);
  t.equal(await findWebSocket(undefined), globalThis.WebSocket);
});
