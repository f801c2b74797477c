/** Question: what does a publish cost inside a lane, rings and rights included, on one thread? Not: threads, sockets. */

import { laneOptions } from '../../src/app/config.ts';
import { DEFAULTS } from '../../src/app/config-table.ts';
import { hashBytes } from '../../src/base/hash.ts';
import { LANE_METRICS_BYTES, LaneMetric } from '../../src/lane/lane-metrics.ts';
import { DEFAULT_TOPIC_CONFIG, type TopicRule } from '../../src/lane/topic-config.ts';
import { LaneRunner } from '../../src/pool/lane-runner.ts';
import { pack } from '../../src/protocol/codec.ts';
import type { GrantClaims } from '../../src/protocol/grants.ts';
import { commandRecord, IngressKind, withNumbers } from '../../src/protocol/records.ts';
import { createRing } from '../../src/shm/ring-layout.ts';
import { RingConsumer, RingProducer } from '../../src/shm/spsc-ring.ts';
import { bench, median, param, report } from '../harness.ts';

bench('lane/publish', 'cost of a publish of 64 B from ingress to egress record, one subscriber, with and without history');
const COUNT = param('count', { smoke: 2_000, full: 500_000 });
const ROUNDS = param('rounds', { smoke: 1, full: 7 });
const TOPICS = 1_000;
const BATCH = 64;

/** A session a topic, as rooms have them. `claims`: what each may do; null, everything. */
function run(label: string, rules: readonly TopicRule[], claims: GrantClaims | null = null): void {
  const ingress = createRing(1_048_576);
  const egress = createRing(4_194_304);
  const producer = new RingProducer(ingress);
  const consumer = new RingConsumer(egress);
  const metrics = new Float64Array(LANE_METRICS_BYTES / 8);
  let bytesOut = 0;
  const drain = (): void => {
    while (consumer.drain((_kind, _start, length) => void (bytesOut += length), 1_024) > 0);
  };
  const lane = new LaneRunner(
    {
      ...laneOptions(DEFAULTS, { index: 0, laneCount: 1, seed: 1, firstSub: 2, life: 0 }),
      topicRules: rules,
    },
    ingress,
    egress,
    metrics,
    drain,
  );
  const command = (session: number, topic: string, message: unknown[]): Uint8Array => {
    const name = new TextEncoder().encode(topic);
    return commandRecord(session, hashBytes(name, 0, name.length), 0, pack(message));
  };
  const write = (kind: number, payload: Uint8Array): void => {
    if (!producer.tryWrite(kind, payload)) throw new Error('ingress full');
  };
  const facts = { id: 'bench', client: null, ...(claims === null ? {} : { grants: claims }) };
  const publishes = Array.from({ length: TOPICS }, (_, index) => {
    const topic = `room.${index}`;
    const session = index + 1;
    write(IngressKind.SESSION_OPEN, withNumbers(session, null, pack(facts)));
    write(IngressKind.COMMAND, command(session, topic, [3, 1, topic, null]));
    lane.run(0);
    drain();
    return command(session, topic, [2, 1, topic, null, new Uint8Array(64)]);
  });
  const elapsed: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = metrics[LaneMetric.publishes] as number;
    bytesOut = 0;
    const startMs = performance.now();
    for (let index = 0; index < COUNT; index += BATCH) {
      for (let place = 0; place < BATCH; place++) write(IngressKind.COMMAND, publishes[(index + place) % TOPICS] as Uint8Array);
      while (lane.run(round) > 0);
      drain();
    }
    elapsed.push(performance.now() - startMs);
    const done = (metrics[LaneMetric.publishes] as number) - before;
    if (done < COUNT || bytesOut < COUNT * 64) throw new Error(`wrong work done: publishes=${done}, bytesOut=${bytesOut}`);
  }
  report(label, median(elapsed), Math.ceil(COUNT / BATCH) * BATCH);
}

run('publish through a lane, history of 100', [{ match: '>', history: DEFAULT_TOPIC_CONFIG.history }]);
run('publish through a lane, no history', [{ match: '>', history: { count: 0 } }]);
const claims: GrantClaims = { pub: ['room.*', 'user.a.>'], sub: { allow: ['room.*', 'news.>'], deny: ['room.secret'] } };
run('publish through a lane, no history, rights asked for', [{ match: '>', history: { count: 0 } }], claims);
