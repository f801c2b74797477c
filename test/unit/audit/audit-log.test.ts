/** The audit log when all is well: order, chain, restarts, what is collapsed, what never stands in it. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { NAMES_PER_SESSION_MAX, SESSIONS_MAX } from '../../../src/audit/repeats.ts';
import { AuditRig, EVERY_EVENT, errorOf } from './audit-rig.ts';

t.test('every event is a line with its facts, in order, with the time it happened', async (t) => {
  const rig = await AuditRig.open(t);
  for (const event of EVERY_EVENT) {
    rig.log.record(event);
    rig.clock.advance(1);
  }
  await rig.log.flush();
  t.same(
    rig.lines.map(({ seq, time, event, prev: _prev, hash: _hash, ...facts }) => ({ seq, time, kind: event, ...facts })),
    EVERY_EVENT.map((event, index) => ({ seq: index + 1, time: new Date(1_700_000_000_000 + index).toISOString(), ...event })),
  );
  t.match(await rig.verify(), { problem: null, lines: EVERY_EVENT.length });
  t.equal(rig.log.metrics.linesWritten, EVERY_EVENT.length);
});

t.test('what one turn records is one write', async (t) => {
  const rig = await AuditRig.open(t);
  rig.record(100);
  await rig.log.flush();
  t.equal(rig.disk.writes, 1);
  t.equal(rig.lines.length, 100);
});

t.test('the next life goes on from the last line, whatever the length of the file', async (t) => {
  const folder = t.testdir({});
  for (let life = 0; life < 4; life++) {
    const rig = await AuditRig.open(t, {}, folder);
    t.match(rig.said('audit log opened')?.facts, {
      seq: life * 501,
      ...(life === 0 ? {} : { hash: rig.lines.at(-1)?.['hash'] }),
    });
    t.equal(rig.said('audit log opened')?.facts['lastLineWas'], undefined, 'the life before ended in order');
    rig.record(500);
    rig.log.record({ kind: 'stopped' });
    await rig.log.close();
    t.match(rig.notices.at(-1), { text: 'audit log', facts: { seq: (life + 1) * 501, hash: rig.lines.at(-1)?.['hash'] } });
  }
  const rig = await AuditRig.open(t, {}, folder);
  t.match(await rig.verify(), { problem: null, lines: 4 * 501 });
});

t.test('a life that ended without its last line is told to the log outside', async (t) => {
  const folder = t.testdir({});
  const rig = await AuditRig.open(t, {}, folder);
  rig.record(1);
  await rig.log.close();
  const next = await AuditRig.open(t, {}, folder);
  t.match(next.said('audit log opened'), { facts: { lastLineWas: 'disconnected' } });
});

t.test('what is recorded before it is open comes first, and what comes after the end is not written', async (t) => {
  const rig = new AuditRig(t.testdir({}));
  rig.record(2);
  await rig.log.open();
  rig.record(1, 3);
  await rig.log.close();
  rig.record(1, 4);
  await rig.log.flush();
  t.same(
    rig.lines.map(({ session }) => session),
    [1, 2, 3],
  );
});

t.test('where the chain stands is told outside every hour', async (t) => {
  const rig = await AuditRig.open(t);
  rig.record(3);
  await rig.advance(3_600_000);
  rig.clock.advance(1);
  t.match(rig.said('audit log')?.facts, { file: rig.path, seq: 0 }, 'as far as it was written then');
  await rig.advance(3_600_000);
  t.match(rig.notices.at(-1)?.facts, { seq: 3, hash: rig.lines.at(-1)?.['hash'] });
});

// ---- repeats

const denied = (session: number, name: string) =>
  ({ kind: 'denied', session, subject: `s${session}`, right: 'pub', name }) as const;

t.test(
  'denials of one session and name: the first is a line at once, the rest of the second one more with their number',
  async (t) => {
    const rig = await AuditRig.open(t);
    for (let count = 0; count < 5_000; count++) rig.log.record(denied(1, 'room'));
    await rig.log.flush();
    t.match(rig.lines, [{ event: 'denied', session: 1, name: 'room' }]);
    t.notOk('repeats' in (rig.lines[0] as object));
    await rig.advance(1_000);
    t.equal(rig.lines.length, 2);
    t.match(rig.lines[1], { event: 'denied', session: 1, subject: 's1', right: 'pub', name: 'room', repeats: 4_999, of: 'same' });
    t.equal(rig.log.metrics.eventsCollapsed, 4_999);
    rig.log.record(denied(1, 'room'));
    await rig.advance(1_000);
    t.equal(rig.lines.length, 3, 'the next second begins anew, and one denial is one line');
  },
);

t.test('denials of one session with ever new names: bounded, and all of them counted', async (t) => {
  const rig = await AuditRig.open(t);
  for (let count = 0; count < 1_000; count++) rig.log.record(denied(1, `room.${count}`));
  await rig.advance(1_000);
  t.equal(rig.lines.length, NAMES_PER_SESSION_MAX + 1);
  t.match(rig.lines.at(-1), { event: 'denied', session: 1, repeats: 1_000 - NAMES_PER_SESSION_MAX, of: 'otherNames' });
  t.notOk('name' in (rig.lines.at(-1) as object));
});

t.test('denials of ever new sessions: the same', async (t) => {
  const rig = await AuditRig.open(t, { queueLinesMax: 10_000 });
  for (let session = 1; session <= 5_000; session++) rig.log.record(denied(session, 'room'));
  await rig.advance(1_000);
  t.equal(rig.lines.length, SESSIONS_MAX + 1);
  t.match(rig.lines.at(-1), { event: 'denied', session: null, repeats: 5_000 - SESSIONS_MAX, of: 'otherSessions' });
});

t.test('two sessions, rights and subjects are never one line; refusals to come in and refreshes are collapsed too', async (t) => {
  const rig = await AuditRig.open(t);
  for (let round = 0; round < 3; round++) {
    rig.log.record(denied(1, 'room'));
    rig.log.record(denied(2, 'room'));
    rig.log.record({ ...denied(1, 'room'), right: 'sub' });
    rig.log.record({ ...denied(1, 'room'), subject: 'another' });
    rig.log.record({ kind: 'authenticationFailed', session: 3, address: '::1', code: 'UNAUTHENTICATED', reason: 'no' });
    rig.log.record({ kind: 'refreshed', session: 4, subject: 'ada', tokenId: `t${round}` });
    rig.log.record({ kind: 'disconnected', session: 5, code: 1_000 });
  }
  await rig.advance(1_000);
  t.same(
    rig.lines
      .filter(({ repeats }) => repeats === 2)
      .map(({ event, session, right, subject }) => [event, session, right, subject]),
    [
      ['denied', 1, 'pub', 's1'],
      ['denied', 1, 'sub', 's1'],
      ['denied', 1, 'pub', 'another'],
      ['denied', 2, 'pub', 's2'],
      ['authenticationFailed', 3, undefined, undefined],
      ['refreshed', 4, undefined, 'ada'],
    ],
  );
  t.equal(rig.events.filter((event) => event === 'disconnected').length, 3, 'and all else has a line each');
});

t.test('refusals over HTTP, which have no session: those of different addresses are different lines', async (t) => {
  const rig = await AuditRig.open(t);
  const refused = (address: string) =>
    rig.log.record({ kind: 'authenticationFailed', session: 0, address, code: 'UNAUTHENTICATED', reason: 'no token' });
  for (let client = 0; client < 100; client++) for (let count = 0; count < 3; count++) refused(`192.0.2.${client}`);
  await rig.advance(1_000);
  t.equal(rig.lines.filter((line) => !('repeats' in line)).length, 100);
  t.equal(rig.lines.filter(({ repeats, of }) => repeats === 2 && of === 'same').length, 100);
});

t.test('what was collapsed in the last second is told at the end', async (t) => {
  const rig = await AuditRig.open(t);
  for (let count = 0; count < 3; count++) rig.log.record(denied(1, 'room'));
  await rig.log.close();
  t.match(rig.lines, [{ event: 'denied' }, { event: 'denied', repeats: 2 }]);
});

// ---- secrets

const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLXRoYXQtbXVzdC1ub3QtYmUtc2Vlbg';
for (const { name, text } of [
  { name: 'a token', text: `bad token ${JWT}` },
  { name: 'a token without its signature', text: JWT.slice(0, JWT.lastIndexOf('.')) },
  { name: 'a token in a query', text: `https://relay.example/v1?access=${JWT}&x=1` },
  { name: 'an Authorization header', text: 'Authorization: Bearer hunter2hunter2hunter2' },
  { name: 'a password in an address', text: 'https://ada:hunter2@hook.example/decide' },
  { name: 'a key in an address', text: 'https://hook.example/decide?key=hunter2' },
])
  t.test(`${name} never stands in a line, wherever it comes from`, async (t) => {
    const rig = await AuditRig.open(t);
    rig.log.record({ kind: 'authenticationFailed', session: 1, address: text, code: text, reason: text });
    rig.log.record({ kind: 'denied', session: 1, subject: text, right: text, name: text });
    rig.log.record({ kind: 'laneLost', lane: 0, cause: text });
    const details = { deep: { list: [text], [text]: 1 }, token: text, payload: { all: text } };
    rig.log.record({ kind: 'adminAction', action: 'x', subject: text, address: text, outcome: 'done', details });
    rig.log.record({ kind: 'configured', settings: { one: { value: [text], from: '--one' } } });
    await rig.advance(1_000);
    const written = readFileSync(rig.path, 'utf8');
    t.notMatch(written, /hunter2|signature-that|c2lnbmF0dXJl|eyJzdWIi/);
    t.match(written, /\[redacted\]/);
    t.match(await rig.verify(), { problem: null, lines: 5 });
  });

t.test('ordinary words are left as they are', async (t) => {
  const rig = await AuditRig.open(t);
  const reason = 'the bearer token is expired: basic eyJ-things, see https://relay.example/docs';
  rig.log.record({ kind: 'authenticationFailed', session: 1, address: '2001:db8::1', code: 'TOKEN_EXPIRED', reason });
  await rig.log.flush();
  t.match(rig.lines, [{ address: '2001:db8::1', reason }]);
});

t.test('a text of any length and any characters stays one line of bounded size', async (t) => {
  const rig = await AuditRig.open(t);
  const name = `\n\r\u2028\ud800"\\${'☃'.repeat(100_000)}`;
  rig.log.record({ kind: 'denied', session: 1, subject: name, right: 'pub', name });
  await rig.log.flush();
  t.ok(readFileSync(rig.path).length < 10_000);
  t.match(await rig.verify(), { problem: null, lines: 1 });
});

// ---- to the disk

t.test('auditSyncMs: what was written is on the disk within it, and nothing is synced that was not written', async (t) => {
  const rig = await AuditRig.open(t, { syncMs: 1_000 });
  rig.record(1);
  await rig.advance(999);
  t.equal(rig.disk.syncs, 0);
  await rig.advance(1);
  t.equal(rig.disk.syncs, 1);
  await rig.advance(5_000);
  t.equal(rig.disk.syncs, 1);
  rig.record(1);
  await rig.log.close();
  t.equal(rig.disk.syncs, 2, 'and at the end');
});

t.test('a sync that fails is a failure to write', async (t) => {
  const rig = await AuditRig.open(t, { syncMs: 1_000 });
  rig.disk.syncError = errorOf('EIO', 'i/o error');
  rig.record(1);
  await rig.advance(1_000);
  t.ok(rig.log.isBlocked);
  t.match(rig.log.trouble, /EIO/);
  rig.disk.syncError = null;
  await rig.advance(1_000);
  await rig.advance(1_000);
  t.notOk(rig.log.isBlocked);
  t.ok(rig.disk.syncs > 0, 'what the failed one left is on the disk now');
  t.match(rig.lines.at(-1), { event: 'auditResumed', cause: /EIO/, lost: 0 });
});
