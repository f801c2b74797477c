/**
 * Question: what does it cost to wake an idle lane and an idle front, in time and in CPU, by each doorbell and idle strategy?
 *
 * A trickle: one record every millisecond or so from front to lane and back, which is the worst case for wake-ups: nothing is
 * ever batched. Latencies are one way. CPU is the whole process's per record, less what the same timer costs without records.
 * Not: throughput (ring.bench.ts), where nobody sleeps.
 */

import { once } from 'node:events';
import { isMainThread, MessageChannel, type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import {
  type FrontBell,
  MessagePortBell,
  MessagePortDoorbell,
  NotifyBell,
  ThreadDoorbell,
  WaitAsyncDoorbell,
} from '../../src/shm/doorbell.ts';
import { FrontPoller } from '../../src/shm/front-poller.ts';
import { createIdleStrategy, type IdleStrategyName } from '../../src/shm/idle-strategy.ts';
import { createRing } from '../../src/shm/ring-layout.ts';
import { RingConsumer, RingProducer } from '../../src/shm/spsc-ring.ts';
import { bench, param, percentile, proveWork, report, reportFigures } from '../harness.ts';

const KIND_PING = 1;
const KIND_STOP = 2;
/** sentAtUs f64 | laneAtUs f64, by a clock that all threads share. */
const PING_BYTES = 16;

interface LaneJob {
  readonly ingress: SharedArrayBuffer;
  readonly egress: SharedArrayBuffer;
  readonly strategy: IdleStrategyName;
  /** Ring the front through this port; without it by notify. */
  readonly port?: MessagePort;
}

const nowUs = (): number => Number(process.hrtime.bigint() % 1_000_000_000_000_000n) / 1000;

function runLane({ ingress, egress, strategy, port }: LaneJob): void {
  const consumer = new RingConsumer(ingress);
  const producer = new RingProducer(egress);
  const doorbell = new ThreadDoorbell(ingress, () => !consumer.isEmpty());
  const idleStrategy = createIdleStrategy(strategy, { doorbell });
  const bell: FrontBell = port ? new MessagePortBell(egress, port) : new NotifyBell(egress);
  let isStopped = false;
  const handler = (kind: number, offsetBytes: number) => {
    if (kind === KIND_STOP) {
      isStopped = true;
      return;
    }
    const targetOffset = producer.claim(KIND_PING, PING_BYTES);
    producer.view.setFloat64(targetOffset, consumer.view.getFloat64(offsetBytes, true), true);
    producer.view.setFloat64(targetOffset + 8, nowUs(), true);
    producer.commit(PING_BYTES);
  };
  while (!isStopped) {
    if (consumer.drain(handler, 64) > 0) {
      producer.publish();
      bell.ring();
      idleStrategy.reset();
    } else {
      idleStrategy.idle();
    }
  }
}

async function main(): Promise<void> {
  bench('shm/idle', 'what does it cost to wake an idle lane and an idle front, in time and in CPU?');
  awakeBell();
  const pingCount = param('pings', { smoke: 40, full: 1000 });
  const timerUs = await cpuOf(pingCount, () => {});
  const cases: { strategy: IdleStrategyName; by: 'notify' | 'port'; emptyTurnsMax: number }[] = [
    { strategy: 'park', by: 'notify', emptyTurnsMax: 0 },
    { strategy: 'park', by: 'notify', emptyTurnsMax: 4 },
    { strategy: 'park', by: 'port', emptyTurnsMax: 0 },
    { strategy: 'park', by: 'port', emptyTurnsMax: 4 },
    { strategy: 'yield', by: 'notify', emptyTurnsMax: 0 },
    { strategy: 'spin', by: 'notify', emptyTurnsMax: 0 },
    { strategy: 'auto', by: 'notify', emptyTurnsMax: 0 },
  ];
  for (const { strategy, by, emptyTurnsMax } of cases) await trickle(strategy, by, emptyTurnsMax, pingCount, timerUs);
}

/** The bell that need not ring: what every publish pays. */
function awakeBell(): void {
  const ringCount = param('awakeRings', { smoke: 10_000, full: 5_000_000 });
  const bell = new NotifyBell(createRing(4096));
  let rungCount = 0;
  const startMs = performance.now();
  for (let number = 0; number < ringCount; number++) if (bell.ring()) rungCount++;
  const elapsedMs = performance.now() - startMs;
  proveWork('bells rung at an awake consumer', rungCount, 0);
  report('ring() while the consumer is awake', elapsedMs, ringCount);
}

/** Calls `send` once a tick; returns microseconds of CPU per tick. */
async function cpuOf(tickCount: number, send: () => void): Promise<number> {
  const before = process.cpuUsage();
  for (let tick = 0; tick < tickCount; tick++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    send();
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / tickCount;
}

async function trickle(
  strategy: IdleStrategyName,
  by: 'notify' | 'port',
  emptyTurnsMax: number,
  pingCount: number,
  timerUs: number,
): Promise<void> {
  const ingress = createRing(1 << 16);
  const egress = createRing(1 << 16);
  const producer = new RingProducer(ingress);
  const consumer = new RingConsumer(egress);
  const isEmpty = () => consumer.isEmpty();
  const bell = new NotifyBell(ingress);
  const { port1, port2 } = new MessageChannel();
  const doorbell = by === 'port' ? new MessagePortDoorbell(egress, isEmpty, port1) : new WaitAsyncDoorbell(egress, isEmpty);
  const toLaneUs: number[] = [];
  const toFrontUs: number[] = [];
  const handler = (_kind: number, offsetBytes: number) => {
    const sentAtUs = consumer.view.getFloat64(offsetBytes, true);
    const laneAtUs = consumer.view.getFloat64(offsetBytes + 8, true);
    toLaneUs.push(laneAtUs - sentAtUs);
    toFrontUs.push(nowUs() - laneAtUs);
  };
  const poller = new FrontPoller({ doorbell, isEmpty, drain: () => consumer.drain(handler, 64), emptyTurnsMax });
  poller.start();
  const job: LaneJob = { ingress, egress, strategy, ...(by === 'port' ? { port: port2 } : {}) };
  const worker = new Worker(new URL(import.meta.url), {
    workerData: job,
    execArgv: [],
    transferList: by === 'port' ? [port2] : [],
  });
  await once(worker, 'message');

  const ping = () => {
    const offsetBytes = producer.claim(KIND_PING, PING_BYTES);
    producer.view.setFloat64(offsetBytes, nowUs(), true);
    producer.commit(PING_BYTES);
    producer.publish();
    bell.ring();
  };
  const answered = async (count: number) => {
    while (toFrontUs.length < count) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  const warmCount = Math.min(50, pingCount);
  await cpuOf(warmCount, ping); // Compiles both sides.
  await answered(warmCount);
  toLaneUs.length = toFrontUs.length = 0;
  const ringsBefore = bell.rings;
  const wakesBefore = doorbell.wakes;
  const cpuUs = await cpuOf(pingCount, ping);
  await answered(pingCount);
  const ringsPerPing = (bell.rings - ringsBefore) / pingCount;
  const wakesPerPing = (doorbell.wakes - wakesBefore) / pingCount;
  producer.tryWrite(KIND_STOP, new Uint8Array(0));
  bell.ring();
  await once(worker, 'exit');
  poller.stop();
  doorbell.close();
  port1.close();

  proveWork('pings answered', toFrontUs.length, pingCount);
  reportFigures(`lane ${strategy}, front ${by}, emptyTurnsMax=${emptyTurnsMax}`, {
    toLaneUsP50: percentile(toLaneUs, 0.5),
    toLaneUsP99: percentile(toLaneUs, 0.99),
    toFrontUsP50: percentile(toFrontUs, 0.5),
    toFrontUsP99: percentile(toFrontUs, 0.99),
    cpuUsPerPing: cpuUs - timerUs,
    ringsPerPing,
    wakesPerPing,
  });
}

if (isMainThread) {
  await main();
} else {
  parentPort?.postMessage('ready');
  runLane(workerData as LaneJob);
}
