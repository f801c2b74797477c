/** Revocations: what each hits, how long it must stand, what happens when there is no more room, and the file they outlive a restart in. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { RevocationFile, readRevocations } from '../../../src/auth/revocation-file.ts';
import {
  parseRevocationRequest,
  type RevocationOptions,
  type RevocationRequest,
  Revocations,
} from '../../../src/auth/revocations.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import { NOW_MS } from '../../support/tokens.ts';

const DAY_MS = 86_400_000;
const OPTIONS: RevocationOptions = { lifetimeMsMax: DAY_MS, leewayMs: 5_000, revocationsMax: 3 };

function listOf(options: Partial<RevocationOptions> = {}): { revocations: Revocations; clock: ManualClock } {
  const clock = new ManualClock(NOW_MS);
  return { revocations: new Revocations({ ...OPTIONS, ...options }, clock), clock };
}

const who = (subject: string, tokenId: string | null, issuedAtMs: number | null) => ({ subject, tokenId, issuedAtMs });
const ANN = who('ann', 'a1', NOW_MS - 60_000);
const ANN_NEW = who('ann', 'a2', NOW_MS + 1_000);
const ANN_UNDATED = who('ann', 'a3', null);
const BOB = who('bob', 'b1', NOW_MS - 1_000);
const ANONYMOUS = who('anonymous', null, null);

for (const { name, request, hits, spares } of [
  { name: 'a token', request: { tokenId: 'a1' }, hits: [ANN], spares: [ANN_NEW, BOB, who('ann', null, 0), ANONYMOUS] },
  {
    name: 'a subject: what was issued to it until now, or is not dated',
    request: { subject: 'ann' },
    hits: [ANN, ANN_UNDATED, who('ann', null, NOW_MS)],
    spares: [ANN_NEW, BOB, ANONYMOUS],
  },
  {
    name: 'a subject before some time',
    request: { subject: 'ann', issuedBeforeMs: NOW_MS - 60_000 },
    hits: [ANN_UNDATED, who('ann', 'a0', NOW_MS - 60_001)],
    spares: [ANN, ANN_NEW, BOB],
  },
  {
    name: 'everything before some time',
    request: { issuedBeforeMs: NOW_MS - 30_000 },
    hits: [ANN, ANN_UNDATED],
    spares: [BOB, ANN_NEW, ANONYMOUS],
  },
] satisfies { name: string; request: RevocationRequest; hits: object[]; spares: object[] }[]) {
  t.test(`revokes ${name}`, async (t) => {
    const { revocations } = listOf();
    const { isRevoked } = revocations.revoke(request);
    for (const one of hits) t.ok(isRevoked(one) && revocations.isRevoked(one), JSON.stringify(one));
    for (const one of spares) t.notOk(isRevoked(one) || revocations.isRevoked(one), JSON.stringify(one));
  });
}

t.test('of two for the same subject the later one holds, in whichever order they come', async (t) => {
  const { revocations } = listOf();
  revocations.revoke({ subject: 'ann', issuedBeforeMs: NOW_MS });
  revocations.revoke({ subject: 'ann', issuedBeforeMs: NOW_MS - DAY_MS });
  t.ok(revocations.isRevoked(ANN));
  t.equal(revocations.count, 1);
});

t.test('an entry stands until the last token that it can hit is over, and then makes room', async (t) => {
  const { revocations, clock } = listOf();
  revocations.revoke({ tokenId: 'a1' });
  revocations.revoke({ subject: 'ann', issuedBeforeMs: NOW_MS - DAY_MS / 2 });
  // The latest token of the first one was issued now, by a clock that is ahead by the leeway, and is taken for the leeway longer.
  t.same(
    revocations.list().map(({ kind, expiresAtMs }) => [kind, expiresAtMs]),
    [
      ['subject', NOW_MS + DAY_MS / 2 + 10_000],
      ['token', NOW_MS + DAY_MS + 10_000],
    ],
  );
  clock.advance(DAY_MS / 2 + 10_000);
  t.equal(revocations.list().length, 1);
  clock.advance(DAY_MS / 2 - 1);
  t.ok(revocations.isRevoked(ANN));
  clock.advance(1);
  revocations.tick();
  t.equal(revocations.count, 0, 'by itself');
});

t.test('where tokens may live for ever, so do revocations', async (t) => {
  const { revocations, clock } = listOf({ lifetimeMsMax: 0 });
  revocations.revoke({ tokenId: 'a1' });
  clock.advance(10_000 * DAY_MS);
  revocations.tick();
  t.match(revocations.list(), [{ tokenId: 'a1', expiresAtMs: null }]);
});

t.test('a full list refuses and forgets nothing; a revocation of everything has always room, and makes some', async (t) => {
  const { revocations } = listOf();
  for (const subject of ['a', 'b', 'c']) revocations.revoke({ subject });
  t.throws(() => revocations.revoke({ subject: 'd' }), { message: 'the list of revocations is full: revocationsMax=3' });
  t.throws(() => revocations.revoke({ tokenId: 'd' }), { code: 104 });
  revocations.revoke({ subject: 'c' }); // Listed already.
  t.ok(['a', 'b', 'c'].every((subject) => revocations.isRevoked(who(subject, null, NOW_MS - 1))));
  revocations.revoke({ issuedBeforeMs: NOW_MS + 1 });
  t.equal(revocations.count, 1, 'the others hit nothing that it does not');
  revocations.revoke({ subject: 'd' });
});

t.test('the future is not locked out; a clock that is ahead by the leeway is', async (t) => {
  const { revocations } = listOf();
  t.throws(() => revocations.revoke({ issuedBeforeMs: NOW_MS + 5_002 }), {
    codeName: 'BAD_REQUEST',
    message: /must not be in the future/,
  });
  revocations.revoke({ subject: 'ann', issuedBeforeMs: NOW_MS + 5_001 });
  t.ok(revocations.isRevoked(ANN_NEW));
});

for (const { request, want } of [
  { request: null, want: 'a revocation must be a map' },
  { request: [], want: 'a revocation must be a map' },
  { request: {}, want: 'one of tokenId, subject and issuedBeforeMs must be given' },
  { request: { subjct: 'ann' }, want: 'unknown field "subjct"; known are tokenId, subject, issuedBeforeMs' },
  { request: { tokenId: 'a', subject: 'b' }, want: 'tokenId names one token: subject and issuedBeforeMs do not go with it' },
  { request: { tokenId: 7 }, want: 'tokenId must be a text of 1 to 256 bytes' },
  { request: { subject: '' }, want: 'subject must be a text of 1 to 128 bytes' },
  {
    request: { subject: 'anonymous' },
    want: 'sessions without a token cannot be revoked; unset anonymousPermissions to end them',
  },
  { request: { issuedBeforeMs: '2026' }, want: 'issuedBeforeMs must be milliseconds since 1970, as a whole number' },
]) {
  t.test(`no revocation: ${JSON.stringify(request)}`, async (t) => {
    t.throws(() => parseRevocationRequest(request), { code: 100, message: want });
  });
}

// ---- the file

t.test('what was revoked is revoked after a restart, but for what is over by then', async (t) => {
  const path = `${t.testdir({})}/revocations.json`;
  const { revocations, clock } = listOf();
  const file = new RevocationFile(path, () => revocations.list());
  revocations.revoke({ tokenId: 'a1' });
  revocations.revoke({ subject: 'bob', issuedBeforeMs: NOW_MS - DAY_MS + 1_000 });
  revocations.revoke({ issuedBeforeMs: NOW_MS - DAY_MS / 2 });
  await file.save();
  clock.advance(12_000);
  const later = new Revocations(OPTIONS, clock);
  readRevocations(readFileSync(path, 'utf8'), later);
  t.same(later.list(), revocations.list());
  t.equal(later.count, 2);
  t.ok(later.isRevoked(ANN));
  t.same(readdirSync(t.testdirName), ['revocations.json'], 'nothing half-written is left');
});

t.test('writes do not overlap, and each caller’s is on the disk when he is told so', async (t) => {
  const path = `${t.testdir({})}/revocations.json`;
  const { revocations } = listOf({ revocationsMax: 100 });
  const file = new RevocationFile(path, () => revocations.list());
  const saves = Array.from({ length: 40 }, async (_, index) => {
    for (let turn = 0; turn < index % 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    revocations.revoke({ tokenId: `t${index}` });
    await file.save();
    t.match(readFileSync(path, 'utf8'), `"t${index}"`);
  });
  await Promise.all(saves);
  t.equal((JSON.parse(readFileSync(path, 'utf8')) as { revocations: unknown[] }).revocations.length, 40);
});

t.test('a file that cannot be written is an error of that save, and of no later one', async (t) => {
  const folder = t.testdir({ blocked: { 'revocations.json': {} } });
  const { revocations } = listOf();
  const blocked = new RevocationFile(`${folder}/missing/revocations.json`, () => revocations.list());
  await t.rejects(blocked.save(), { code: 'ENOENT' });
  mkdirSync(`${folder}/missing`);
  await blocked.save();
});

for (const { name, text, want } of [
  { name: 'is no JSON', text: '{', want: 'is no JSON' },
  { name: 'is of another version', text: '{"version": 2, "revocations": []}', want: 'is no list of revocations of version 1' },
  { name: 'has no list', text: '{"version": 1}', want: 'its revocations must be a list' },
  {
    name: 'has something else in its list',
    text: '{"version": 1, "revocations": [{"kind": "subject", "subject": "ann", "revokedAtMs": 1, "expiresAtMs": null}]}',
    want: 'revocations[0] is none',
  },
]) {
  t.test(`a file that ${name} is not gone by in part`, async (t) => {
    const path = `${t.testdir({})}/revocations.json`;
    writeFileSync(path, text);
    t.throws(() => readRevocations(readFileSync(path, 'utf8'), listOf().revocations), { message: want });
  });
}
