/** The command line against a running relay: what a person types to try it. */
import t from 'tap';
import { relayProgram, startRelay } from '../support/relay-process.ts';
import { openClient, Reader, range } from '../support/sdk.ts';

const parsed = (lines: readonly string[]): Record<string, unknown>[] => lines.map((line) => JSON.parse(line));

t.test('relay sub prints what relay pub publishes', async (t) => {
  const relay = await startRelay(t);
  const sub = relayProgram(t, ['sub', '--url', relay.url, '--count', '5', 'room']);
  await sub.stdout.find(/"subscribed"/);
  const one = relayProgram(t, ['pub', '--url', relay.url, '--header', 'from=cli', 'room', '{"n": 1}']);
  t.same(await one.exited, { code: 0, signal: null });
  const many = relayProgram(t, ['pub', '--url', relay.url, 'room', '-'], { input: '2\nthree\n[4]\nnull\n' });
  t.same(await many.exited, { code: 0, signal: null });

  t.same(await sub.exited, { code: 0, signal: null }, 'it ends after as many as it was told');
  const messages = parsed(sub.stdout.all).filter((line) => 'payload' in line);
  t.same(
    messages.map(({ payload }) => payload),
    [{ n: 1 }, 2, 'three', [4], null],
  );
  t.match(messages[0], { topic: 'room', offset: 1, headers: { from: 'cli' } });
  t.same(
    parsed([...one.stdout.all, ...many.stdout.all]).map(({ offset }) => offset),
    range(1, 5),
    'pub prints where each message stands',
  );
});

t.test('relay sub goes on behind a position, begins with the last ones, and takes patterns', async (t) => {
  const relay = await startRelay(t);
  const client = await openClient(t, relay.url);
  for (const number of range(1, 9)) await client.publish('room', number);
  const { epoch } = await client.publish('room', 10);
  const since = relayProgram(t, ['sub', '--url', relay.url, '--count', '3', '--since', `${epoch}:7`, 'room']);
  const last = relayProgram(t, ['sub', '--url', relay.url, '--count', '2', '--last', '2', 'room']);
  const pattern = relayProgram(t, ['sub', '--url', relay.url, '--count', '1', '*.room']);
  await Promise.all([since.exited, last.exited, pattern.stdout.find(/"subscribed"/)]);
  await client.publish('any.room', 'by pattern');
  t.same(await pattern.exited, { code: 0, signal: null });
  const payloads = (program: typeof since) =>
    parsed(program.stdout.all)
      .filter((line) => 'payload' in line)
      .map(({ payload }) => payload);
  t.same(payloads(since), [8, 9, 10]);
  t.same(payloads(last), [9, 10]);
  t.same(payloads(pattern), ['by pattern']);
});

t.test('relay sub shares a topic’s messages with its group, and acknowledges what it prints', async (t) => {
  const relay = await startRelay(t);
  const client = await openClient(t, relay.url);
  const sub = relayProgram(t, ['sub', '--url', relay.url, '--count', '2', '--group', 'workers', '--ack', 'jobs']);
  await sub.stdout.find(/"subscribed"/);
  for (const number of range(1, 3)) await client.publish('jobs', number);
  t.same(await sub.exited, { code: 0, signal: null });
  const messages = parsed(sub.stdout.all).filter((line) => 'payload' in line);
  t.match(messages, [
    { payload: 1, attempt: 1 },
    { payload: 2, attempt: 1 },
  ]);
  const next = relayProgram(t, ['sub', '--url', relay.url, '--count', '1', '--group', 'workers', '--ack', 'jobs']);
  t.same(await next.exited, { code: 0, signal: null });
  t.match(parsed(next.stdout.all).at(-1), { payload: 3 }, 'what it printed is done, what it held was given back');
  const wrong = relayProgram(t, ['sub', '--url', relay.url, '--ack', 'jobs']);
  t.same((await wrong.exited).code, 1);
  t.match(wrong.stderr.all.at(-1), /ack needs a group.*BAD_REQUEST/);
});

t.test('relay sub leaves in order when it is interrupted', async (t) => {
  const relay = await startRelay(t);
  const witness = await Reader.open(await openClient(t, relay.url), 'room', { presence: 'watch' });
  const sub = relayProgram(t, ['sub', '--url', relay.url, '--client', 'me', '--presence', 'room']);
  await witness.until(({ presence }) => presence.some(({ kind, id }) => kind === 'join' && id === 'me'));
  await sub.stdout.find(/"subscribed"/);
  sub.kill('SIGINT');
  t.same(await sub.exited, { code: 0, signal: null });
  await witness.until(({ presence }) => presence.some(({ kind, id }) => kind === 'leave' && id === 'me'));
});

t.test('relay pub says what the relay refused, by code and name', async (t) => {
  const relay = await startRelay(t);
  const program = relayProgram(t, ['pub', '--url', relay.url, '$reserved', '1']);
  t.same(await program.exited, { code: 1, signal: null });
  t.match(program.stderr.all.join('\n'), /102 FORBIDDEN/);
  const misuse = relayProgram(t, ['pub', 'only-a-topic']);
  t.same(await misuse.exited, { code: 2, signal: null });
});

t.test('relay doctor finds a relay that works, and says so where there is none', async (t) => {
  const relay = await startRelay(t);
  const well = relayProgram(t, ['doctor', '--url', relay.url]);
  const { code } = await well.exited;
  t.match(well.stdout.all.at(-1), /^ok .*subscribed, published and received in/);
  t.match(well.stdout.all.join('\n'), /ok {4}uWebSockets\.js loads/);
  t.equal(code, well.stdout.all.some((line) => line.startsWith('BAD')) ? 1 : 0, 'the exit code is that of the findings');

  await relay.terminate();
  const ill = relayProgram(t, ['doctor', '--url', relay.url]);
  t.match(await ill.exited, { code: 1 });
  t.match(ill.stdout.all.join('\n'), /BAD {3}ws:[^\n]*\n {6}Is the relay running there/);
});
