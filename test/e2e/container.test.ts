/** What a container's engine asks of the relay: HEALTHCHECK, and a stop at any time. */
import process from 'node:process';
import t from 'tap';
import { Program, ROOT } from '../support/program.ts';
import { freePort, relayProgram, startRelay } from '../support/relay-process.ts';

const HEALTHCHECK = [process.execPath, `${ROOT}deploy/container/healthcheck.mjs`];

t.test('HEALTHCHECK: 0 while the relay is ready, 1 when it is gone, each with a text', async (t) => {
  const relay = await startRelay(t);
  const ask = (env: Record<string, string> = {}): Program =>
    new Program(t, HEALTHCHECK, { env: { RELAY_OPS_PORT: `${relay.opsPort}`, ...env } });
  const healthy = ask();
  t.same(await healthy.exited, { code: 0, signal: null });
  t.match(healthy.stdout.all, [/^200 .*"ready":true/]);
  const everywhere = ask({ RELAY_OPS_HOST: '0.0.0.0' });
  t.same(await everywhere.exited, { code: 0, signal: null }, 'an address to listen on is none to connect to');
  await relay.terminate();
  const gone = ask();
  t.same(await gone.exited, { code: 1, signal: null });
  t.match(gone.stdout.all, [/readyz: .*ECONNREFUSED/]);
});

t.test('HEALTHCHECK without an ops port says that it cannot know', async (t) => {
  const program = new Program(t, HEALTHCHECK, { env: { RELAY_OPS_PORT: '0' } });
  t.same(await program.exited, { code: 1, signal: null });
  t.match(program.stdout.all, [/RELAY_OPS_PORT=0/]);
});

t.test('SIGTERM as soon as the program is there: it ends with exit code 0, having listened or not', async (t) => {
  // As process 1 of a container, a signal without a handler is not delivered: there must be one from the start on, not from when it listens.
  const program = relayProgram(t, ['serve', '--port', `${await freePort()}`, '--ops-port', '0', '--log-level', 'debug']);
  await program.stderr.find(/"msg":"starting"/);
  program.kill('SIGTERM');
  t.same(await program.exited, { code: 0, signal: null });
  t.match(program.stderr.all.at(-1), /"msg":"stopped"/);
});
