/** Question: what does a publish cost inside a lane, rings included, on one thread? Not: threads, sockets. */

import { laneOptions } from '../../src/app/config.ts';
import { DEFAULTS } from '../../src/app/config-table.ts';
import { hashBytes } from '../../src/base/hash.ts';
import { LANE_METRICS_BYTES, LaneMetric } from '../../src/lane/lane-metrics.ts';
import { DEFAULT_TOPIC_CONFIG, type TopicRule } from '../../src/lane/topic-config.ts';
import { LaneRunner } from '../../src/pool/lane-runner.ts';
import { pack } from '../../src/protocol/codec.ts';
import { commandRecord, IngressKind, withNumbers } from '../../src/protocol/records.ts';
import { createRing } from '../../src/shm/ring-layout.ts';
import { RingConsumer, RingProducer } from '../../src/shm/spsc-ring.ts';
import { bench, median, param, report } from '../harness.ts';

bench('lane/publish', 'cost of a publish of 64 B from ingress to egress record, one subscriber, with and without history');
const COUNT = param('count', { smoke: 2_000, full: 500_000 });
const ROUNDS = param('rounds', { smoke: 1, full: 7 });
const TOPICS = 1_000;
const BATCH = 64;

function run(label: string, rules: readonly TopicRule[]): void {
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
  const command = (topic: string, message: unknown[]): Uint8Array => {
    const name = new TextEncoder().encode(topic);
    return commandRecord(1, hashBytes(name, 0, name.length), 0, pack(message));
  };
  const write = (kind: number, payload: Uint8Array): void => {
    if (!producer.tryWrite(kind, payload)) throw new Error('ingress full');
  };
  write(IngressKind.SESSION_OPEN, withNumbers(1, null, pack({ id: 'bench', client: null })));
  const publishes = Array.from({ length: TOPICS }, (_, index) => `room.${index}`).map((topic) => {
    write(IngressKind.COMMAND, command(topic, [3, 1, topic, null]));
    lane.run(0);
    drain();
    return command(topic, [2, 1, topic, null, new Uint8Array(64)]);
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
