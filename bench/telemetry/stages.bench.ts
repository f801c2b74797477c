/**
 * Question: what do the latency histograms of a message's stages cost per publish, where nothing is batched (the dearest case)?
 * Not: making percentiles of them, which happens when somebody asks.
 */
import { elapsedUs, systemClock } from '../../src/base/clock.ts';
import { frontLatencies, LANE_LATENCIES_BYTES, laneLatencies } from '../../src/telemetry/stages.ts';
import { bench, median, param, proveWork, report } from '../harness.ts';

bench('telemetry/stages', 'cost of recording the stages of one publish: five records and five readings of the clock');
const COUNT = param('count', { smoke: 10_000, full: 5_000_000 });
const ROUNDS = param('rounds', { smoke: 1, full: 7 });

const front = frontLatencies();
const lane = laneLatencies(new SharedArrayBuffer(LANE_LATENCIES_BYTES));

function time(label: string, opsPerRound: number, run: () => void): void {
  const elapsed: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = performance.now();
    run();
    elapsed.push(performance.now() - startMs);
  }
  report(label, median(elapsed), opsPerRound);
}

time('one record', COUNT, () => {
  for (let index = 0; index < COUNT; index++) front.clientRoundTrip.record(index & 0xffff);
});
proveWork('records', front.clientRoundTrip.count, COUNT * ROUNDS);

time('one reading of the clock', COUNT, () => {
  let last = 0;
  for (let index = 0; index < COUNT; index++) last = systemClock.stampUs();
  if (last === 0) throw new Error('the clock stands');
});

// As front, runner and drain do it for a publish that has each of them to itself.
time('all stages of one publish', COUNT, () => {
  for (let index = 0; index < COUNT; index++) {
    const receivedUs = systemClock.stampUs();
    const batchUs = systemClock.stampUs();
    lane.ingressWait.record(elapsedUs(receivedUs, batchUs));
    const doneUs = systemClock.stampUs();
    lane.lane.record(elapsedUs(batchUs, doneUs), 1);
    const drainUs = systemClock.stampUs();
    front.egressWait.record(elapsedUs(doneUs, drainUs), 2);
    const writtenUs = systemClock.stampUs();
    front.socketWrite.record(elapsedUs(drainUs, writtenUs), 2);
    front.publishToLastWrite.record(elapsedUs(receivedUs, writtenUs));
  }
});
proveWork('publishes', front.publishToLastWrite.count, COUNT * ROUNDS);
