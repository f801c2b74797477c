/** A relay that keeps an audit log: what is in it after a day's work, after a kill, and with a disk that is full. */
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startFaultyRelay } from '../support/faults.ts';
import { HELLO, OK, PUBLISH, RawClient, SUBSCRIBE } from '../support/raw-client.ts';
import { relayProgram, startRelay } from '../support/relay-process.ts';
import { openClient, range } from '../support/sdk.ts';
import { testKey } from '../support/tokens.ts';

type Line = Readonly<Record<string, unknown>>;

const linesIn = (path: string): Line[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

async function verify(t: Test, ...args: string[]): Promise<{ code: number | null; text: string }> {
  const program = relayProgram(t, ['audit', 'verify', ...args]);
  const { code } = await program.exited;
  return { code, text: [...program.stdout.all, ...program.stderr.all].join('\n') };
}

/** Asks until it holds: a state that somebody else brings about. */
async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

t.test('a life from start to stop is in it, the chain is whole by any SHA-256, and what is tampered with is found', async (t) => {
  const auditLogFile = join(t.testdir({}), 'audit.log');
  const relay = await startRelay(t, { auditLogFile, lanes: 1 });
  const raw = await RawClient.open(t, relay.port);
  await raw.ask(PUBLISH, 'room', null, 'a payload that must not be in any log');
  await raw.close();
  t.match(await relay.readiness(), { status: 200, text: /audit log.*lines in the chain/ });
  t.same(await relay.terminate(), { code: 0, signal: null });

  const lines = linesIn(auditLogFile);
  t.same(
    lines.map(({ event }) => event),
    ['started', 'configured', 'listening', 'connected', 'disconnected', 'draining', 'stopped'],
  );
  t.match(lines[1], {
    settings: { auditLogFile: { value: auditLogFile, from: '--audit-log-file' }, lanes: { value: 1, from: '--lanes' } },
  });
  t.match(lines[2], { port: relay.port, opsPort: relay.opsPort });
  t.match(lines[3], { address: '127.0.0.1', session: lines[4]?.['session'] });
  t.match(lines[4], { code: 1_000 });
  const text = readFileSync(auditLogFile, 'utf8');
  t.notMatch(text, /a payload that must/);
  for (const line of text.trimEnd().split('\n')) {
    const { hash } = JSON.parse(line);
    t.equal(
      createHash('sha256')
        .update(line.replace(/,"hash":"\w+"\}$/, '}'))
        .digest('hex'),
      hash,
    );
  }
  const lastHash = lines.at(-1)?.['hash'] as string;
  t.match(
    relay.program.stderr.all.findLast((line) => line.includes('"audit log"')),
    new RegExp(lastHash),
    'the log outside has it too',
  );
  t.match(await verify(t, auditLogFile, '--from-hash', lastHash), {
    code: 0,
    text: new RegExp(`whole: 7 lines, 1 to 7, .*\nlast hash: ${lastHash}`),
  });
  const shown = relayProgram(t, ['audit', 'show', '--event', 'connected', auditLogFile]);
  await shown.exited;
  t.same(
    shown.stdout.all.map((line) => JSON.parse(line)),
    [lines[3]],
  );

  writeFileSync(auditLogFile, text.replace('"code":1000', '"code":1001'));
  t.match(await verify(t, auditLogFile), { code: 1, text: /audit\.log:5: changed: / });
  writeFileSync(auditLogFile, text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1));
  t.match(await verify(t, auditLogFile), { code: 0 });
  t.match(await verify(t, auditLogFile, '--from-hash', lastHash), { code: 1, text: /audit\.log: anchor: / });
  t.match(await verify(t, join(auditLogFile, 'none')), { code: 2 });
  t.match(await verify(t), { code: 2, text: /usage/ });
});

t.test('who came in, who was refused what, what an operator did about it; and no token, key or payload', async (t) => {
  const auditLogFile = join(t.testdir({}), 'audit.log');
  const key = testKey('HS256');
  const opsToken = 'an-ops-token-that-must-not-be-in-any-log';
  const rateLimits = [{ scope: 'connection', what: 'subscribe', perSecond: 0.001, burst: 3 }];
  const relay = await startRelay(t, { auditLogFile, lanes: 1, authKeys: [key.entry], opsToken, rateLimits, rateRefusalsMax: 5 });
  const iat = Math.floor(Date.now() / 1_000) - 5;
  const tokenOf = (sub: string, jti: string): Promise<string> =>
    key.sign({ sub, jti, iat, exp: iat + 600, relay: { pub: ['room'], sub: ['room'] } });
  const [ada, eve] = [await tokenOf('ada', 'ada-1'), await tokenOf('eve', 'eve-1')];
  const open = async (token: string) => {
    const raw = await RawClient.open(t, relay.port, { hello: false });
    return { raw, greeting: await raw.request(HELLO, { token }) };
  };

  const first = await open(ada);
  t.equal(first.greeting[0], OK);
  const denials = range(1, 300).map(() => [
    PUBLISH,
    first.raw.nextId(),
    'elsewhere',
    null,
    'a payload that must not be in any log',
  ]);
  first.raw.send(...denials);
  await first.raw.answer(denials.at(-1)?.[1] as number);
  await open(`${ada.slice(0, -6)}AAAAAA`);
  const http = await fetch(`http://127.0.0.1:${relay.port}/v1/publish?topic=room`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${eve}x` },
    body: '1',
  });
  t.equal(http.status, 401);
  const flood = await open(eve);
  flood.raw.send(...range(1, 20).map(() => [SUBSCRIBE, flood.raw.nextId(), 'room', null]));
  t.match(await flood.raw.closed, { code: 4_102 });
  const revoked = relayProgram(t, ['revoke', '--subject', 'ada', '--ops-url', `http://127.0.0.1:${relay.opsPort}`], {
    env: { RELAY_OPS_TOKEN: opsToken },
  });
  t.same(await revoked.exited, { code: 0, signal: null });
  t.match(await first.raw.closed, { code: 4_505 });
  t.same(await relay.terminate(), { code: 0, signal: null });

  const lines = linesIn(auditLogFile);
  const of = (event: string): Line[] => lines.filter((line) => line['event'] === event);
  t.match(of('authenticated'), [
    { subject: 'ada', tokenId: 'ada-1', address: '127.0.0.1' },
    { subject: 'eve', tokenId: 'eve-1' },
  ]);
  const session = of('authenticated')[0]?.['session'];
  t.ok(of('denied').length <= 4, `${of('denied').length} lines for 300 denials`);
  t.ok(of('denied').every((line) => line['session'] === session && line['right'] === 'pub' && line['name'] === 'elsewhere'));
  const counted = of('denied').reduce((sum, { repeats = 1 }) => sum + (repeats as number), 0);
  t.equal(counted, 300);
  t.equal(of('authenticationFailed').length, 2);
  t.match(of('authenticationFailed'), [{ code: 'UNAUTHENTICATED' }, { session: 0, address: '127.0.0.1' }]);
  t.match(of('rateLimited'), [{ subject: 'eve', limit: /./ }]);
  t.match(of('adminAction'), [
    { action: 'revoke', subject: 'opsToken', outcome: 'done', details: { subject: 'ada', sessionsClosed: 1 } },
  ]);
  t.match(of('revoked'), [{ session, subject: 'ada', tokenId: 'ada-1' }]);
  t.ok(of('disconnected').some((line) => line['session'] === session && line['code'] === 4_505));
  t.match(of('configured')[0], {
    settings: { opsToken: { value: '[redacted]' }, authKeys: { value: '[redacted]', from: '--auth-keys' } },
  });
  const text = readFileSync(auditLogFile, 'utf8');
  for (const secret of [ada, eve, opsToken, JSON.stringify(key.entry), 'a payload that must'])
    t.notOk(text.includes(secret) || text.includes(secret.slice(-20)), secret.slice(0, 12));
  t.match(await verify(t, auditLogFile), { code: 0 });
});

t.test('kill -9 while clients come and go, ten times over: the chain is whole', async (t) => {
  const auditLogFile = join(t.testdir({}), 'audit.log');
  for (let life = 0; life < 10; life++) {
    const relay = await startRelay(t, { auditLogFile, lanes: 0 });
    let isOver = false;
    const coming = range(1, 8).map(async () => {
      while (!isOver)
        await RawClient.open(t, relay.port).then(
          (raw) => raw.close(),
          () => {},
        );
    });
    await until(async () => (await relay.metric('relay_audit_lines_total')) > 40 + 7 * life);
    relay.program.kill('SIGKILL');
    await relay.exited;
    isOver = true;
    await Promise.all(coming);
  }
  const { code, text } = await verify(t, auditLogFile);
  t.equal(code, 0, text);
  t.equal(linesIn(auditLogFile).filter(({ event }) => event === 'started').length, 10);
});

t.test('block, with a disk that is full: nobody new, not ready, said in the log and in a metric; who stops it can', async (t) => {
  const relay = await startRelay(t, { auditLogFile: '/dev/full', auditOnFailure: 'block', lanes: 1 });
  await relay.program.stderr.find(/the audit log cannot be written/);
  const refusal = await RawClient.knock(t, relay.port);
  t.equal(refusal?.status, 503);
  t.notMatch(refusal?.body, /audit/, 'outsiders are not told why');
  const http = await fetch(`http://127.0.0.1:${relay.port}/v1/publish?topic=room`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: '1',
  });
  t.equal(http.status, 503);
  t.match(await relay.readiness(), { status: 503, text: /"audit log","ok":false,"detail":"cannot be written since.*ENOSPC/ });
  t.equal(await relay.metric('relay_audit_blocked'), 1);
  t.equal(await relay.metric('relay_connections_refused_audit_total'), 1);
  t.ok((await relay.metric('relay_audit_write_failures_total')) >= 1);
  t.same(await relay.terminate(), { code: 0, signal: null });
  t.ok(relay.program.stderr.all.some((line) => line.includes('audit lines are lost with the end of the relay')));
});

t.test('count, with a disk that is full: everybody comes in, and what is lost is counted', async (t) => {
  const relay = await startRelay(t, { auditLogFile: '/dev/full', auditOnFailure: 'count', auditQueueLinesMax: 100, lanes: 1 });
  for (let count = 0; count < 60; count++) await (await RawClient.open(t, relay.port)).close();
  await until(async () => (await relay.metric('relay_audit_lines_lost_total')) > 0);
  t.match(await relay.readiness(), { status: 200, text: /ENOSPC.*are lost/ });
  t.equal(await relay.metric('relay_audit_blocked'), 0);
  t.same(await relay.terminate(), { code: 0, signal: null });
});

t.test('to the standard output: the chain and nothing else', async (t) => {
  const relay = await startRelay(t, { auditLogFile: '-', lanes: 1 });
  await (await openClient(t, relay.url)).close();
  t.same(await relay.terminate(), { code: 0, signal: null });
  const path = join(t.testdir({}), 'collected');
  writeFileSync(path, relay.program.stdout.all.map((line) => `${line}\n`).join(''));
  t.match(await verify(t, path), { code: 0, text: /1 to / });
  t.match(linesIn(path).at(-1), { event: 'stopped' });
});

t.test('SIGHUP after the file was moved away: the chain goes on in a new one', async (t) => {
  const auditLogFile = join(t.testdir({}), 'audit.log');
  const relay = await startRelay(t, { auditLogFile, lanes: 1 });
  await openClient(t, relay.url);
  renameSync(auditLogFile, `${auditLogFile}.1`);
  relay.program.kill('SIGHUP');
  await relay.program.stderr.find(/audit log reopened/);
  t.same(await relay.terminate(), { code: 0, signal: null });
  t.match(await verify(t, `${auditLogFile}.1`, auditLogFile), { code: 0 });
  t.match(linesIn(auditLogFile)[0], { event: 'fileReopened', because: 'asked' });
  t.match(await verify(t, auditLogFile, `${auditLogFile}.1`), { code: 1 });
});

t.test('a file that is somebody else’s: the relay does not start, and leaves it as it is', async (t) => {
  const auditLogFile = join(t.testdir({ 'audit.log': 'not an audit log\n' }), 'audit.log');
  const program = relayProgram(t, ['serve', '--port', '0', '--ops-port', '0', '--audit-log-file', auditLogFile]);
  t.same(await program.exited, { code: 1, signal: null });
  t.match(program.stderr.all.at(-1), /^relay: auditLogFile cannot be used: .* is no audit log/);
  t.equal(readFileSync(auditLogFile, 'utf8'), 'not an audit log\n');
});

t.test('a lane that dies and is replaced is in it', async (t) => {
  const auditLogFile = join(t.testdir({}), 'lane-audit.log');
  const { relay, faults } = await startFaultyRelay(t, { auditLogFile, lanes: 1 });
  const raw = await RawClient.open(t, relay.port);
  faults.arm(0, 'throw');
  raw.send(...range(1, 300).map((number) => [PUBLISH, raw.nextId(), 'room', null, number]));
  await until(async () => (await relay.metric('relay_audit_lines_total')) >= 6);
  t.same(
    linesIn(auditLogFile)
      .slice(4)
      .map(({ event, lane }) => [event, lane]),
    [
      ['laneLost', 0],
      ['laneReplaced', 0],
    ],
  );
});
