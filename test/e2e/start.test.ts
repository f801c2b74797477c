/** Starting where it cannot work: the relay says what is wrong, all of it, and harms nobody else. */
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { freePort, relayProgram, startRelay } from '../support/relay-process.ts';
import { openClient, Reader } from '../support/sdk.ts';

t.test('a second relay on the same port ends with an error that names the port; the first is unharmed', async (t) => {
  const first = await startRelay(t);
  const reader = await Reader.open(await openClient(t, first.url), 'room');
  const second = relayProgram(t, ['serve', '--port', `${first.port}`, '--ops-port', `${await freePort()}`]);
  t.same(await second.exited, { code: 1, signal: null });
  t.match(second.stderr.all, [new RegExp(`^relay: cannot listen on 127\\.0\\.0\\.1:${first.port}: .*taken`)], 'one line');

  await (await openClient(t, first.url)).publish('room', 'still here');
  await reader.until(({ payloads }) => payloads.includes('still here'));
  t.equal(await first.metric('relay_connections'), 2, 'the second took no connection away');
  t.match(await first.readiness(), { status: 200 });
});

t.test('a second relay on the same ops port ends likewise, and gives its own port back', async (t) => {
  const first = await startRelay(t);
  const port = await freePort();
  const second = relayProgram(t, ['serve', '--port', `${port}`, '--ops-port', `${first.opsPort}`]);
  t.same(await second.exited, { code: 1, signal: null });
  t.match(second.stderr.all.at(-1), new RegExp(`^relay: cannot listen on 127\\.0\\.0\\.1:${first.opsPort} \\(ops port\\)`));
  t.match(await first.readiness(), { status: 200 });
  t.ok(await startRelay(t, {}, { port }), 'another one can have it');
});

t.test('bad flags, variables and file: exit code 2, and every problem is listed', async (t) => {
  const file = `${t.testdir({})}/relay.json`;
  writeFileSync(file, JSON.stringify({ pongTimeoutMs: -1, coloUr: 'red', topics: [{ match: 'a..b' }] }));
  const program = relayProgram(
    t,
    ['serve', '--port', 'x', '--lanes=99', '--no-such-thing', '--idle-strategy', 'nap', '--config', file, 'stray'],
    { env: { RELAY_HELLO_TIMEOUT_MS: 'soon', RELAY_TYPO: '1' } },
  );
  t.same(await program.exited, { code: 2, signal: null });
  const said = program.stderr.all.join('\n');
  for (const problem of [
    '--port',
    '--lanes',
    '--no-such-thing',
    '--idle-strategy',
    'pongTimeoutMs',
    'coloUr',
    'a..b',
    'stray',
    'RELAY_HELLO_TIMEOUT_MS',
    'RELAY_TYPO',
  ]) {
    t.match(said, problem);
  }
  t.same(program.stdout.all, [], 'nothing for a pipe to take for output');
});

t.test('settings that contradict each other are refused together with the rest', async (t) => {
  const program = relayProgram(t, [
    'serve',
    '--port=9000',
    '--ops-port=9000',
    '--drain-window-ms=2000',
    '--drain-deadline-ms=1000',
  ]);
  t.same(await program.exited, { code: 2, signal: null });
  const said = program.stderr.all.join('\n');
  t.match(said, /port and opsPort must differ/);
  t.match(said, /drainWindowMs must be at most drainDeadlineMs/);
});

t.test('no such command: exit code 2 and the list of commands', async (t) => {
  const program = relayProgram(t, ['sevre']);
  t.same(await program.exited, { code: 2, signal: null });
  t.match(program.stderr.all.join('\n'), /no command 'sevre'[\s\S]*relay serve/);
});
