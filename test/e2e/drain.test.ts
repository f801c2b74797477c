/** SIGTERM: everybody is told where and when to go, what was acknowledged is delivered, and the next relay takes over. */
import t from 'tap';
import { GOAWAY, MESSAGE, OK, PING, PUBLISH, RawClient, SUBSCRIBE } from '../support/raw-client.ts';
import { startRelay } from '../support/relay-process.ts';
import { openClient, Reader, range } from '../support/sdk.ts';

for (const lanes of [1, 0]) {
  t.test(`lanes=${lanes}: SIGTERM turns readiness off, then sends each client home in a slot of its own`, async (t) => {
    const windowMs = 1_000;
    const relay = await startRelay(t, { lanes, drainWindowMs: windowMs, drainDeadlineMs: 60_000 });
    const raws = await Promise.all(range(1, 20).map(() => RawClient.open(t, relay.port)));
    const late = await RawClient.open(t, relay.port, { hello: false });
    t.match(await relay.readiness(), { status: 200 });
    relay.program.kill('SIGTERM');
    const goaways = await Promise.all(raws.map((raw) => raw.find(([type]) => type === GOAWAY)));

    t.match(await relay.readiness(), { status: 503, text: /draining/ }, 'who asks is told not to send anybody here');
    const slots = goaways.map(([, { reconnectAfterMs }]) => reconnectAfterMs as number).sort((one, other) => one - other);
    t.same(
      slots,
      range(0, 19).map((index) => Math.floor((index * windowMs) / 21)),
      'the slots are spread evenly over the window, one each',
    );
    t.match(goaways[0], [GOAWAY, { reason: 'shutdown', deadlineMs: 60_000 }]);
    const refusal = await RawClient.knock(t, relay.port);
    t.equal(refusal?.status, 503, 'nobody new is let in');
    t.ok(Number(refusal?.headers.get('retry-after')) > 0);
    t.match(await (raws[0] as RawClient).request(PUBLISH, 'room', null, 'last words'), [OK], 'who is leaving may finish');
    late.send([1, late.nextId(), {}]);
    t.match(
      await late.find(([type]) => type === GOAWAY),
      [GOAWAY, { reason: 'shutdown' }],
      'who says hello only now is sent home too',
    );

    await Promise.all([...raws, late].map((raw) => raw.close()));
    t.same(await relay.exited, { code: 0, signal: null }, 'it ends when the last one has left');
  });

  t.test(`lanes=${lanes}: SIGTERM under load: all that was acknowledged is delivered before the end`, async (t) => {
    const relay = await startRelay(t, { lanes, drainWindowMs: 100, drainDeadlineMs: 300 });
    const subscribers = await Promise.all(range(1, 5).map(() => RawClient.open(t, relay.port)));
    for (const raw of subscribers) await raw.ask(SUBSCRIBE, 'room', null);
    const publishers = await Promise.all(range(1, 5).map(() => RawClient.open(t, relay.port)));
    // Nobody leaves before being closed, and the publishers go on to the last moment.
    const loading = publishers.map(async (raw, publisher) => {
      for (let round = 0; ; round++) {
        const last = raw.nextId();
        const burst = range(1, 20).map((number) => [PUBLISH, raw.nextId(), 'room', null, `${publisher}.${round}.${number}`]);
        raw.send(...burst, [PING, last]);
        const isOver = await raw.answer(last).then(
          () => false,
          () => true,
        );
        if (isOver) return round * 20 + 20;
      }
    });
    await (subscribers[0] as RawClient).find(([type, , , offset]) => type === MESSAGE && offset >= 200);
    relay.program.kill('SIGTERM');
    const closed = await Promise.all([...subscribers, ...publishers].map((raw) => raw.closed));
    await Promise.all(loading);

    t.ok(
      closed.every(({ code }) => code === 4001),
      'those who stay are closed with 4001',
    );
    t.same(await relay.exited, { code: 0, signal: null });
    const acknowledged = publishers.flatMap(({ messages }) =>
      messages.filter(([type, , result]) => type === OK && result?.offset > 0).map(([, , { offset }]) => offset as number),
    );
    t.ok(acknowledged.length >= 200, `${acknowledged.length} publishes were acknowledged`);
    for (const { messages } of subscribers) {
      const seen = new Set(messages.filter(([type]) => type === MESSAGE).map(([, , , offset]) => offset));
      t.same(
        acknowledged.filter((offset) => !seen.has(offset)),
        [],
        'each subscriber got them all',
      );
    }
  });

  t.test(`lanes=${lanes}: the next relay on the same port takes over, and SDK clients go on there`, async (t) => {
    const settings = { lanes, drainWindowMs: 300, drainDeadlineMs: 5_000, reconnectJitterMs: 20 };
    const relay = await startRelay(t, settings);
    const options = { reconnect: { capMs: 100 } };
    const clients = await Promise.all(range(1, 20).map(() => openClient(t, relay.url, options)));
    const readers = await Promise.all(clients.map((client) => Reader.open(client, 'room')));
    const publisher = await openClient(t, relay.url, options);
    const goaways: string[] = [];
    for (const client of [...clients, publisher])
      client.on('state', (state) => {
        if (state.name === 'draining' && state.cause === 'goaway') goaways.push(state.reason);
      });
    let isLoading = true;
    let count = 0;
    const loading = (async () => {
      while (isLoading) await Promise.all(range(1, 5).map(() => publisher.publish('room', ++count)));
    })();
    await Promise.all(readers.map((reader) => reader.until(({ messages }) => messages.length >= 20)));

    t.same(await relay.terminate(), { code: 0, signal: null }, 'all have left in time');
    const next = await startRelay(t, settings, { port: relay.port });
    await Promise.all(readers.map((reader) => reader.until(({ joins }) => joins.length >= 2)));
    isLoading = false;
    await loading;
    const after = await publisher.publish('room', 'after');
    await Promise.all(readers.map((reader) => reader.until(({ payloads }) => payloads.includes('after'))));

    t.same(goaways, Array(21).fill('shutdown'), 'every client was asked to leave');
    t.same(
      readers.map(({ losses }) => losses.map(({ reason }) => reason)),
      readers.map(() => ['EPOCH_CHANGED']),
      'every subscriber is told that the stream began anew',
    );
    t.ok(
      readers.every(({ messages }) => {
        const mine = messages.filter(({ epoch }) => epoch === after.epoch);
        return mine.every(({ offset }, index) => offset === (mine[0]?.offset as number) + index);
      }),
      'and goes on without a hole',
    );
    t.equal(await next.metric('relay_connections'), 21);
  });
}

t.test('SIGTERM with a client that never leaves: closed with 4001 at the deadline', async (t) => {
  const relay = await startRelay(t, { drainWindowMs: 100, drainDeadlineMs: 200 });
  const raw = await RawClient.open(t, relay.port);
  relay.program.kill('SIGTERM');
  t.match(await raw.closed, { code: 4001, reason: /shutting down/ });
  t.same(await relay.exited, { code: 0, signal: null });
});

t.test('SIGTERM with clients that are dead: one does not answer the close, one does not even read', async (t) => {
  const relay = await startRelay(t, { drainWindowMs: 100, drainDeadlineMs: 200, closeTimeoutMs: 200 });
  const deaf = await RawClient.open(t, relay.port, { answersClose: false });
  const stuck = await RawClient.open(t, relay.port);
  stuck.stopReading();
  relay.program.kill('SIGTERM');
  t.same(await relay.exited, { code: 0, signal: null });
  t.match(await deaf.closed, { code: 4001 });
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} without clients ends at once, and frees the port`, async (t) => {
    const relay = await startRelay(t);
    relay.program.kill(signal);
    t.same(await relay.exited, { code: 0, signal: null });
    t.ok(await startRelay(t, {}, { port: relay.port }));
  });
}

t.test('a second signal does not wait for anybody', async (t) => {
  const relay = await startRelay(t, { drainDeadlineMs: 60_000 });
  const raw = await RawClient.open(t, relay.port);
  relay.program.kill('SIGTERM');
  await raw.find(([type]) => type === GOAWAY);
  relay.program.kill('SIGTERM');
  t.same(await relay.exited, { code: 1, signal: null });
});
