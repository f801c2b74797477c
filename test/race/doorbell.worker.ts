/** The lane thread of doorbell.race.test.ts. Says at the end how each of its sleeps ended. */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { Prng } from '../../src/base/prng.ts';
import { type FrontBell, MessagePortBell, NotifyBell, type ParkOutcome, ThreadDoorbell } from '../../src/shm/doorbell.ts';
import { ASLEEP, ASLEEP_OFFSET_BYTES, wordIndex } from '../../src/shm/ring-layout.ts';
import { RingConsumer, RingProducer } from '../../src/shm/spsc-ring.ts';
import { spin } from './peer.ts';

const FLAG = wordIndex(ASLEEP_OFFSET_BYTES);
export const KIND_PING = 1;
export const KIND_STOP = 2;
/** One sleep of the leader. Two of them without a record in between, one after the other, and the front's wake-up was lost. */
const LEAD_SLEEP_MS = 20_000;
/** One sleep of the echo. It is the other thread that says whether a bell was lost; only a failing test sleeps that long. */
const ECHO_SLEEP_MS = 300_000;

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
  /** echo: one word. 1 while its last look before lying down found nothing, see isBellLost(). */
  readonly looked?: SharedArrayBuffer;
}

export type Outcomes = Record<ParkOutcome, number>;

if (parentPort) {
  const race = workerData as DoorbellRace;
  const consumer = new RingConsumer(race.ingress);
  const producer = new RingProducer(race.egress);
  const outcomes: Outcomes = { ready: 0, rung: 0, timeout: 0 };
  if (race.role === 'echo') echo(race, consumer, producer, outcomes);
  else lead(race, consumer, producer, outcomes);
  parentPort.postMessage(outcomes);
}

function echo(race: DoorbellRace, consumer: RingConsumer, producer: RingProducer, outcomes: Outcomes): void {
  const looked = new Int32Array(race.looked ?? new SharedArrayBuffer(4));
  const doorbell = new ThreadDoorbell(race.ingress, () => {
    if (!consumer.isEmpty()) return true;
    Atomics.store(looked, 0, 1);
    return false;
  });
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
    Atomics.store(looked, 0, 0);
    outcomes[doorbell.park(ECHO_SLEEP_MS)]++;
  }
}

function lead(race: DoorbellRace, consumer: RingConsumer, producer: RingProducer, outcomes: Outcomes): void {
  const doorbell = new ThreadDoorbell(race.ingress, () => !consumer.isEmpty());
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
      let outcome = doorbell.park(LEAD_SLEEP_MS);
      // A machine that stood still has let the time pass for nothing: the front then answers as soon as both run again.
      if (outcome === 'timeout') outcome = doorbell.park(LEAD_SLEEP_MS);
      outcomes[outcome]++;
      if (outcome === 'timeout') return; // A wake-up was lost, there or here.
    }
  }
}

/**
 * For the thread that rings, after ring() has returned and while its record is unread: the sleeper's flag is up, and its look
 * behind that flag found nothing. That is what D1 of doorbell.ts rules out. A state and not a time, so a thread that does not
 * get to run, or a machine that stands still, is not taken for a lost bell.
 */
export function isBellLost(flags: Int32Array, looked: Int32Array): boolean {
  // In this order: the flag of a sleeper that has yet to look goes with `looked` = 0, and that look will find the record.
  return Atomics.load(flags, FLAG) === ASLEEP && Atomics.load(looked, 0) === 1;
}
