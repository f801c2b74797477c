/** One line: what is hashed, and that nothing in it can be changed without being seen. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { type AuditLine, GENESIS, looksTorn, readLine, sealLine } from '../../../src/audit/line.ts';

const BODY = '"time":"2026-01-01T00:00:00.000Z","event":"denied","subject":"Ünï ☃","name":"a\\nb"';
const { text, end } = sealLine({ seq: 6, hash: 'ab'.repeat(32) }, BODY);
const line = Buffer.from(text.slice(0, -1));

t.test('a line is one JSON map on one line: number, time, event, facts, prev, hash', async (t) => {
  t.equal(text.indexOf('\n'), text.length - 1);
  const map = JSON.parse(text);
  t.same(Object.keys(map), ['seq', 'time', 'event', 'subject', 'name', 'prev', 'hash']);
  t.match(map, { seq: 7, event: 'denied', subject: 'Ünï ☃', name: 'a\nb', prev: 'ab'.repeat(32), hash: end.hash });
  t.equal(end.seq, 7);
});

t.test('the hash is that of the line without it, by any SHA-256', async (t) => {
  const without = text.replace(/,"hash":"[0-9a-f]{64}"\}\n$/, '}');
  t.equal(createHash('sha256').update(without).digest('hex'), end.hash);
});

t.test('it reads back, and its bytes are as before', async (t) => {
  const read = readLine(line) as AuditLine;
  t.match(read, { seq: 7, event: 'denied', prev: 'ab'.repeat(32), hash: end.hash, facts: { subject: 'Ünï ☃' } });
  t.equal(line.toString('utf8'), text.slice(0, -1));
});

t.test('every other byte in every place is seen', async (t) => {
  for (let at = 0; at < line.length; at++) {
    const changed = Buffer.from(line);
    changed[at] = (changed[at] as number) ^ 0x01;
    t.type(readLine(changed), 'string', `byte ${at}`);
  }
});

t.test('a byte more or less is seen, and so is every beginning of a line', async (t) => {
  for (let at = 0; at <= line.length; at++) {
    t.type(readLine(Buffer.concat([line.subarray(0, at), Buffer.from(' '), line.subarray(at)])), 'string', `a space at ${at}`);
    if (at === line.length) continue;
    t.type(readLine(Buffer.concat([line.subarray(0, at), line.subarray(at + 1)])), 'string', `without byte ${at}`);
    t.equal(readLine(Buffer.from(line.subarray(0, at))), 'noLine', `the first ${at} bytes`);
    t.ok(looksTorn(line.subarray(0, at)), `the first ${at} bytes look torn`);
  }
  t.notOk(looksTorn(line), 'a whole line does not');
});

for (const { name, bytes, want } of [
  { name: 'nothing', bytes: '', want: true },
  { name: 'what a power failure leaves', bytes: '\0\0\0\0', want: true },
  { name: 'another text', bytes: 'Jan  1 00:00:00 host sshd', want: false },
  { name: 'another JSON', bytes: '{"level":"info"}', want: false },
  { name: 'a map that begins as a line and is whole', bytes: '{"seq":1}', want: false },
])
  t.test(`${name} ${want ? 'looks' : 'does not look'} torn`, async (t) => {
    t.equal(looksTorn(Buffer.from(bytes)), want);
  });

t.test('the chain’s beginning is the same for everybody', async (t) => {
  t.match(JSON.parse(sealLine(GENESIS, BODY).text), { seq: 1, prev: '0'.repeat(64) });
});
