/** The lane thread of doorbell.race.test.ts. Says at the end how each of its sleeps ended. */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { Prng } from '../../src/base/prng.ts';
import { type FrontBell, MessagePortBell, NotifyBell, type ParkOutcome, ThreadDoorbell } from '../../src/shm/doorbell.ts';
import { RingConsumer, RingProducer } from '../../src/shm/spsc-ring.ts';
import { spin } from './peer.ts';

export const KIND_PING = 1;
export const KIND_STOP = 2;
/** How long a sleeper waits for a bell before it calls it lost. Far above any scheduling delay; only a failing test takes it. */
const LOST_AFTER_MS = 20_000;

/** Looks for the answer before sleeping after all: longer than it takes to wake the front. */
const QUICK_LOOKS = 100_000;

export interface DoorbellRace {
  /** echo: wakes by the front's bell and answers. lead: sends, rings the front, and sleeps until the answer. */
  readonly role: 'echo' | 'lead';
  readonly ingress: SharedArrayBuffer;
  readonly egress: SharedArrayBuffer;
  readonly roundCount: number;
  readonly spinTurnsMax: number;
  /** lead: bounds for the rounds that follow their answer at once; one is picked each time. */
  readonly quickSpinTurnsMax: readonly number[];
  readonly seed: number;
  /** Ring the front through this port; without it by notify. */
  readonly port?: MessagePort;
}

export type Outcomes = Record<ParkOutcome, number>;

if (parentPort) {
  const race = workerData as DoorbellRace;
  const consumer = new RingConsumer(race.ingress);
  const producer = new RingProducer(race.egress);
  const doorbell = new ThreadDoorbell(race.ingress, () => !consumer.isEmpty());
  const outcomes: Outcomes = { ready: 0, rung: 0, timeout: 0 };
  if (race.role === 'echo') echo(race, consumer, producer, doorbell, outcomes);
  else lead(race, consumer, producer, doorbell, outcomes);
  parentPort.postMessage(outcomes);
}

function echo(
  race: DoorbellRace,
  consumer: RingConsumer,
  producer: RingProducer,
  doorbell: ThreadDoorbell,
  outcomes: Outcomes,
): void {
  const ack = new Uint8Array(0);
  let isStopped = false;
  const handler = (kind: number) => {
    if (kind === KIND_STOP) isStopped = true;
    else producer.tryWrite(KIND_PING, ack);
  };
  const prng = new Prng(race.seed, 1);
  while (!isStopped) {
    if (consumer.drain(handler, 16) > 0) continue;
    // Late to bed by about what the front needs to send the next: else every record would find it asleep.
    spin(prng.nextInt(0, race.spinTurnsMax));
    outcomes[doorbell.park(LOST_AFTER_MS)]++;
    if (outcomes.timeout > 0) return; // A bell was lost; the front sees that this thread has given up.
  }
}

function lead(
  race: DoorbellRace,
  consumer: RingConsumer,
  producer: RingProducer,
  doorbell: ThreadDoorbell,
  outcomes: Outcomes,
): void {
  const bell: FrontBell = race.port ? new MessagePortBell(race.egress, race.port) : new NotifyBell(race.egress);
  const prng = new Prng(race.seed);
  const ping = new Uint8Array(0);
  const handler = () => {};
  for (let round = 0; round < race.roundCount; round++) {
    // The answer comes while the front is still awake: to meet it lying down, be back with the next record within a microsecond
    // or so, which only works without having slept. The other rounds are slow, so that both ends do sleep.
    const isQuick = prng.nextBoolean(0.9);
    spin(prng.nextInt(0, isQuick ? prng.pick(race.quickSpinTurnsMax) : race.spinTurnsMax));
    producer.tryWrite(KIND_PING, ping);
    bell.ring();
    for (let look = 0; consumer.drain(handler, 16) === 0; look++) {
      if (isQuick && look < QUICK_LOOKS) continue;
      const outcome = doorbell.park(LOST_AFTER_MS);
      outcomes[outcome]++;
      if (outcome === 'timeout') return; // A bell was lost, there or here.
    }
  }
}
