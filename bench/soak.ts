/**
 * Question: over a long time, with everything going wrong at once, is every message either delivered or reported, and does the relay stay as it is?
 *
 *   npm run soak -- --minutes 60        any length; 0.4 is the one of the tests
 *   npm run soak -- --seed 7            who is cut when, which lane dies how
 *
 * Readers are cut and come back with `since`, others stop reading for seconds under every slow-consumer policy, and every few seconds a lane dies with work in its
 * ring (by the entry that the fault tests use). Each reader keeps books: see soak/ledger.ts. Ends in one line; exit 1 if a message is unaccounted for, came
 * twice or was not answered, or if in a run of ten minutes or more memory grew by over 10 % from the second quarter to the last. Writes soak.json.
 * Not: speed. The relay runs from its sources here, and the readers share its cores.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { Prng } from '../src/base/prng.ts';
import { readMemory } from '../src/cli/bench/proc-stat.ts';
import { SUBPROTOCOL } from '../src/protocol/types.ts';
import { Faults } from '../test/support/faults.ts';
import { SoakProbe, SoakPublisher, SoakReader } from './soak/connection.ts';
import { type LedgerFigures, Registry } from './soak/ledger.ts';
import { growthOf, shareText, slopePerHour } from './soak/verdict.ts';
import { GC_TRACE_FLAG, GcPauses } from './support/gc-pauses.ts';
import { writeResults } from './support/results.ts';
import { startServer } from './support/server-process.ts';

const LANES = 2;
const TOPICS = 16;
/** Large messages, for those that stop reading: the kernel holds megabytes before the relay notices. */
const FAT_TOPICS = 2;
const FAT_BYTES = 8_192;
const THIN_BYTES = 100;
const PUBLISHERS = 4;
const PUBLISHES_PER_SECOND = 200;
const FAT_PER_SECOND = 60;
const STEADY_READERS = 12;
const CHURNING_READERS = 16;
const POLICIES = ['dropOldest', 'dropNewest', 'conflate', 'pause', null] as const;
const AWAY_MS = [100, 2_000] as const;
const CUT_EVERY_MS = 250;
const STOPPED_MS = 9_000;
const READING_MS = 3_000;
const KILL_EVERY_MS = 6_000;
/** Held so long before it dies, so that there are commands of which some are done and some are not. */
const HELD_MS = 300;
/** Not `corrupt`: it wipes out one command's record, and nobody can read any more whose that was. */
const FAULTS = ['throw', 'exit'] as const;
/** No lane dies and nobody is cut in the last seconds: what is then still missing stays missing. */
const CALM_MS = 3_000;
const SETTLE_MS_MAX = 20_000;
const PUBLISH_TURN_MS = 10;
const PROBE_TURN_MS = 5;
const SAMPLES = 240;
const GROWTH_MAX = 0.1;
/** In less, heaps and history are still filling. */
const GROWTH_MINUTES_MIN = 10;

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } } });
const minutes = Number(values.minutes);
if (!(minutes >= 0.2 && minutes <= 1_440)) throw new RangeError(`--minutes must be in [0.2, 1440], got '${values.minutes}'`);
const prng = new Prng(Number(values.seed));
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const folder = mkdtempSync(join(tmpdir(), 'relay-soak-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const faults = new Faults(folder);
const gc = new GcPauses();
let said = '';
const relay = await startServer({
  args: [
    ...[GC_TRACE_FLAG, '--max-semi-space-size=2', 'test/support/faulty-relay.ts', 'serve', '--port=0', '--ops-port=0'],
    ...[`--lanes=${LANES}`, '--lane-stall-ms=5000', '--lane-restart-backoff-ms-max=200', '--retry-after-ms=20'],
    ...['--send-queue-bytes-max=262144', '--recovery-bytes-max=262144', '--connect-rate-per-second=10000'],
    '--topics=[{"match":">","history":{"count":1000,"bytes":2097152}}]',
  ],
  env: { FAULTS_DIRECTORY: folder },
  readyText: 'ops on ',
  onOutput: (text) => {
    gc.read(text);
    said = (said + text).slice(-65_536);
  },
});
gc.restart();
const port = Number(/listening on (\d+)/.exec(said)?.[1]);
const target = { host: '127.0.0.1', port, path: '/v1/connect', subprotocol: SUBPROTOCOL, localAddress: null };

const registry = new Registry();
const topics = Array.from({ length: TOPICS }, (_, index) => `soak.thin.${index}`);
const fatTopics = Array.from({ length: FAT_TOPICS }, (_, index) => `soak.fat.${index}`);
const threeOf = (index: number): string[] => [0, 5, 11].map((step) => topics[(index + step) % TOPICS] as string);
const newReader = (index: number): SoakReader => new SoakReader(target, threeOf(index), 'dropOldest', registry);
const steady = Array.from({ length: STEADY_READERS }, (_, index) => newReader(index));
const churning = Array.from({ length: CHURNING_READERS }, (_, index) => newReader(index));
const slow = POLICIES.map((policy) => new SoakReader(target, fatTopics, policy, registry));
const readers = [...steady, ...churning, ...slow];
const publishers = Array.from({ length: PUBLISHERS }, () => new SoakPublisher(target, registry));
const probe = new SoakProbe(target);

async function until(what: string, holds: () => boolean, timeoutMs: number): Promise<boolean> {
  for (const endMs = performance.now() + timeoutMs; !holds(); await sleep(20)) {
    if (performance.now() < endMs) continue;
    process.stderr.write(`waited ${timeoutMs} ms in vain until ${what}\n`);
    return false;
  }
  return true;
}
const isReady = (): boolean => [...readers, ...publishers].every((one) => one.isReady);
if (!(await until('everybody is subscribed', isReady, SETTLE_MS_MAX))) process.exit(1);

// ---- what goes on, and what goes wrong

const startMs = performance.now();
const endMs = startMs + minutes * 60_000;
const calmMs = endMs - CALM_MS;
const thin = new Uint8Array(THIN_BYTES).fill(0x61);
const fat = new Uint8Array(FAT_BYTES).fill(0x62);
const timers: NodeJS.Timeout[] = [];

/** Calls `act` so many times a second, in turns. */
function paced(perSecond: number, act: (count: number) => void): void {
  let count = 0;
  const beganMs = performance.now();
  timers.push(
    setInterval(() => {
      for (const due = ((performance.now() - beganMs) * perSecond) / 1000; count < due; count++) act(count);
    }, PUBLISH_TURN_MS),
  );
}
const pick = <Item>(list: readonly Item[], count: number): Item => list[count % list.length] as Item;
paced(PUBLISHES_PER_SECOND, (count) => pick(publishers, count).publish(pick(topics, Math.floor(count / PUBLISHERS)), thin));
paced(FAT_PER_SECOND, (count) => pick(publishers, count).publish(pick(fatTopics, Math.floor(count / PUBLISHERS)), fat));

let lateMs = 0;
let turnedMs = performance.now();
timers.push(
  setInterval(() => {
    const nowMs = performance.now();
    lateMs = Math.max(lateMs, nowMs - turnedMs - PROBE_TURN_MS);
    turnedMs = nowMs;
    probe.turn();
  }, PROBE_TURN_MS),
);

let cuts = 0;
timers.push(
  setInterval(() => {
    if (performance.now() > calmMs) return;
    if (prng.pick(churning).cut(AWAY_MS[0] + prng.nextFloat() * (AWAY_MS[1] - AWAY_MS[0]))) cuts++;
  }, CUT_EVERY_MS),
);

async function stopAndGo(reader: SoakReader): Promise<void> {
  while (performance.now() + STOPPED_MS < calmMs) {
    reader.stopReading();
    await sleep(STOPPED_MS);
    reader.readOn();
    await sleep(READING_MS);
  }
}
const stopping = slow.map(stopAndGo);

const deaths: Record<string, number> = {};
async function killLanes(): Promise<void> {
  for (;;) {
    await sleep(KILL_EVERY_MS);
    if (performance.now() > calmMs) return;
    const lane = Math.floor(prng.nextFloat() * LANES);
    const fault = prng.pick(FAULTS);
    const replacedBefore = said.lastIndexOf('lane replaced');
    // Held while some publishes come in, so that it dies with work in its ring.
    await faults.hold(lane);
    await sleep(HELD_MS);
    faults.arm(lane, fault);
    if (!(await until(`lane ${lane} is replaced`, () => said.lastIndexOf('lane replaced') !== replacedBefore, SETTLE_MS_MAX)))
      return;
    deaths[fault] = (deaths[fault] ?? 0) + 1;
  }
}
const killing = killLanes();

const samples: { readonly atSeconds: number; readonly rssMb: number }[] = [];
const sample = (): void => {
  const memory = readMemory(relay.pid);
  if (memory !== null) samples.push({ atSeconds: (performance.now() - startMs) / 1000, rssMb: Number(memory.rssMb.toFixed(1)) });
};
timers.push(setInterval(sample, Math.max((minutes * 60_000) / SAMPLES, 100)));

await sleep(endMs - performance.now());
for (const timer of timers) clearInterval(timer);
sample();
await Promise.all([killing, ...stopping]);

// ---- the account

for (const reader of slow) reader.readOn();
await until('every publish is answered', () => publishers.every(({ unanswered }) => unanswered === 0), SETTLE_MS_MAX);
await until('every reader is up to date', () => readers.every((reader) => reader.isReady && reader.hasAll), SETTLE_MS_MAX);
await sleep(200); // A message that comes twice would come now.

const total: LedgerFigures = { delivered: 0, skipped: 0, named: 0, unreported: 0, duplicated: 0 };
const breaks: Record<string, number> = {};
for (const ledger of readers.flatMap((reader) => reader.ledgers)) {
  const figures = ledger.close();
  for (const key of Object.keys(total) as (keyof LedgerFigures)[]) total[key] += figures[key];
  for (const [reason, count] of Object.entries(ledger.breaks)) breaks[reason] = (breaks[reason] ?? 0) + count;
}
const sumOf = (counts: readonly Readonly<Record<string, number>>[]): Record<string, number> => {
  const sum: Record<string, number> = {};
  for (const count of counts) for (const [key, value] of Object.entries(count)) sum[key] = (sum[key] ?? 0) + value;
  return sum;
};
const published = publishers.reduce((sum, one) => sum + one.published, 0);
const acknowledged = publishers.reduce((sum, one) => sum + one.acknowledged, 0);
const refused = sumOf(publishers.map(({ refusedByCode }) => refusedByCode));
const unanswered = publishers.reduce((sum, one) => sum + one.unanswered, 0);
const foreign = readers.reduce((sum, reader) => sum + reader.foreign, 0);
const closes = sumOf([...readers, ...publishers, probe].map(({ closesByCode }) => closesByCode));
const slowestAckMs = Math.max(...publishers.map((one) => one.slowestAckMs));
for (const one of [...readers, ...publishers, probe]) one.end();
await relay.stop();

const reported = total.delivered + total.skipped + total.named + acknowledged + published - acknowledged - unanswered;
const owed = reported + total.unreported + unanswered;
const slope = slopePerHour(samples);
const growth = growthOf(samples.map(({ rssMb }) => rssMb));
const gcFigures = gc.figures();
const worst = { pingMs: Number(probe.worstMs.toFixed(1)), ownLatenessMs: Number(lateMs.toFixed(1)), gcMs: gcFigures.maxMs };
writeResults('soak', {
  ...{ name: 'soak', minutes, seed: Number(values.seed), published, acknowledged, refused, unanswered, ...total, foreign },
  ...{ breaks, closes, deaths, cuts, slowestAckMs, worst, gc: gcFigures, rssSlopeMbPerHour: slope, growth, samples },
});
const whole = (value: number): string => value.toLocaleString('en-US');
const isLong = minutes >= GROWTH_MINUTES_MIN;
const list = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([key, count]) => `${key} ${whole(count)}`)
    .join(', ') || 'none';
process.stdout.write(
  `published ${whole(published)}: acknowledged ${whole(acknowledged)}, refused (${list(refused)}), unanswered ${unanswered}\n` +
    `owed to ${readers.length} readers: delivered ${whole(total.delivered)}, skipped ${whole(total.skipped)}, named ${whole(total.named)}, ` +
    `unreported ${whole(total.unreported)}; duplicated ${total.duplicated}, foreign ${foreign}\n` +
    `ends of continuity: ${list(breaks)}; lanes died: ${list(deaths)}; cut ${whole(cuts)}; closed by the relay: ${list(closes)}\n` +
    `GC pauses ${gcFigures.count}, P99 ${gcFigures.p99Ms} ms, worst ${gcFigures.maxMs} ms; slowest answer to a publish ${slowestAckMs.toFixed(0)} ms\n` +
    `delivered or reported: ${shareText(reported, owed)} %, RSS slope ${slope >= 0 ? '+' : ''}${slope.toFixed(1)} MB/h (${samples[0]?.rssMb} to ${samples.at(-1)?.rssMb} MB${isLong ? '' : ': too short a run to say'}), ` +
    `worst pause ${worst.pingMs} ms (PING round trip; the soak's own timers were up to ${worst.ownLatenessMs} ms late)\n`,
);
const isBroken = total.unreported + total.duplicated + foreign + unanswered > 0 || Object.keys(deaths).length === 0;
process.exitCode = isBroken || (isLong && growth > GROWTH_MAX) ? 1 : 0;
