/**
 * Whole runs against a fake relay: what the server did wrong is what the bench says was wrong, neither more nor less.
 *
 * Real processes and sockets, so the runs are as small as they can be. Latencies are not looked at: the machine is shared.
 */

import { createServer } from 'node:net';
import t from 'tap';
import { runBench } from '../../../src/cli/bench/command.ts';
import { summaryText } from '../../../src/cli/bench/report.ts';
import { ALL, LOAD, MEASURED, MEMBERS, run } from './small-run.ts';

/** Some 3 s for each run: processes to start, and 2 s of silence before something counts as lost. */
t.setTimeout(110_000);

t.test('an honest server: everything is delivered and nothing is wrong', async (t) => {
  const { result, counts } = await run({ batches: true });
  t.equal(counts.published, ALL);
  t.equal(counts.pongs, 20, 'pings are answered');
  t.match(result, {
    published: MEASURED,
    expected: MEASURED * MEMBERS,
    delivered: MEASURED * MEMBERS,
    lost: 0,
    lostInWarmup: 0,
    duplicated: 0,
    reordered: 0,
    foreign: 0,
    unanswered: 0,
    publishErrorsByCode: {},
    disconnectsByCode: {},
    reconnect: null,
    churn: null,
    slow: null,
  });
  t.ok(result.latencyMs.p50 > 0 && result.latencyMs.p50 <= result.latencyMs.p99 && result.latencyMs.p99 <= result.latencyMs.max);
  t.ok(result.fromSendMs.p50 <= result.latencyMs.p50);
  t.ok(result.connectMs.max > 0);
  t.ok(result.generatorCpuSeconds > 0 && (result.serverCpuSeconds ?? -1) >= 0 && (result.serverRssMb ?? 0) > 1);
  t.ok((result.serverRssPeakMb ?? 0) >= (result.serverRssMb ?? 1));
  t.match(summaryText(result), /^delivered +600 of 600 /m);
  t.match(summaryText(result), /^wrong +lost 0 +duplicated 0 +reordered 0$/m);
});

t.test('several publishers per room, no acks, more processes than rooms', async (t) => {
  const { result } = await run({}, { rooms: 1, mode: 'fanout', publishers: 3, acks: false, processes: 3 });
  t.match(result, {
    expected: MEASURED * 20,
    delivered: MEASURED * 20,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    unanswered: 0,
    acks: false,
  });
});

t.test('dropped deliveries are lost, in the warmup too', async (t) => {
  const { result, counts } = await run({ faultOf: (message, member) => (message % 10 === 1 && member === 2 ? 'drop' : 'none') });
  t.equal(counts.dropped, 16);
  t.equal(result.lost, 16);
  t.equal(result.lostInWarmup, 4);
  t.equal(result.expected, MEASURED * MEMBERS);
  t.equal(result.delivered, MEASURED * MEMBERS - 12);
});

t.test('deliveries made twice are duplicates', async (t) => {
  const { result, counts } = await run({ faultOf: (message, member) => (message % 8 === 1 && member === 0 ? 'twice' : 'none') });
  t.equal(counts.doubled, 20);
  t.match(result, { lost: 0, duplicated: 20, reordered: 0, delivered: MEASURED * MEMBERS });
});

t.test('deliveries in the wrong order are reordered and not lost', async (t) => {
  const { result, counts } = await run({
    faultOf: (message, member) => (message < 140 && message % 12 === 1 && member === 0 ? 'hold' : 'none'),
  });
  t.equal(counts.held, 12);
  t.match(result, { lost: 0, duplicated: 0, reordered: 12, delivered: MEASURED * MEMBERS });
});

t.test('refused publishes are errors, not losses', async (t) => {
  const { result } = await run({ refuses: (message) => message > 40 && message % 10 === 0 });
  t.match(result, {
    publishErrorsByCode: { 106: 12 },
    lost: 0,
    unanswered: 0,
    expected: (MEASURED - 12) * MEMBERS,
    delivered: (MEASURED - 12) * MEMBERS,
  });
});

t.test('connections that the server ends are counted by code, and what they were owed is lost', async (t) => {
  // Message 100 is the last of a room's first 25; 15 more would have come to each of the two.
  const { result, counts } = await run({ closesAt: { message: 100, count: 2 } });
  t.equal(counts.closed, 2);
  t.strictSame(result.disconnectsByCode, { 4002: 2 });
  t.equal(result.lost, 30);
  t.equal(result.expected, MEASURED * MEMBERS);
});

t.test('a server that refuses HELLO fails the run at once', async (t) => {
  await t.rejects(run({ helloError: 101 }), { name: 'BenchRunError', message: 'the relay refused HELLO: 101 not you' });
});

t.test('something that is no WebSocket server fails the run', async (t) => {
  const server = createServer((socket) =>
    socket.on('error', () => {}).end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  await t.rejects(runBench({ ...LOAD, connections: 2, rooms: 1, url: `ws://127.0.0.1:${port}/` }), {
    message: new RegExp(
      `cannot connect to ws://127.0.0.1:${port}/ after 5 attempts: the server refused the upgrade: HTTP/1.1 404 Not Found`,
    ),
  });
  server.close();
});
