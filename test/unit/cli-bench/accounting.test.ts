/** Who is owed what and what is missing: plan, schedule, tally. And the histogram the figures come from. */

import fc from 'fast-check';
import t from 'tap';
import { completeOptions } from '../../../src/cli/bench/options.ts';
import {
  messageCount,
  planProcess,
  roomName,
  Schedule,
  sequenceCount,
  streamCount,
  warmupCount,
} from '../../../src/cli/bench/plan.ts';
import { readCpuSeconds, readMachineCpu, readMemory } from '../../../src/cli/bench/proc-stat.ts';
import { nowUs } from '../../../src/cli/bench/shared-clock.ts';
import { SEQUENCE_ANY, Tally } from '../../../src/cli/bench/tally.ts';
import { LATENCY_US_MAX } from '../../../src/telemetry/latency-counts.ts';
import { LatencyHistogram } from '../../../src/telemetry/latency-histogram.ts';

for (const { name, receives, end, refused, want } of [
  {
    name: 'all in order',
    receives: [0, 1, 2, 3],
    end: 4,
    want: { delivered: 4, duplicated: 0, reordered: 0, lost: 0, lostInWarmup: 0 },
  },
  {
    name: 'one missing',
    receives: [0, 1, 3],
    end: 4,
    want: { delivered: 3, duplicated: 0, reordered: 0, lost: 1, lostInWarmup: 0 },
  },
  {
    name: 'the first missing',
    receives: [1, 2, 3],
    end: 4,
    want: { delivered: 3, duplicated: 0, reordered: 0, lost: 1, lostInWarmup: 1 },
  },
  {
    name: 'the tail missing',
    receives: [0, 1],
    end: 5,
    want: { delivered: 2, duplicated: 0, reordered: 0, lost: 3, lostInWarmup: 0 },
  },
  { name: 'nothing came', receives: [], end: 3, want: { delivered: 0, duplicated: 0, reordered: 0, lost: 3, lostInWarmup: 2 } },
  {
    name: 'one twice',
    receives: [0, 1, 1, 2],
    end: 3,
    want: { delivered: 3, duplicated: 1, reordered: 0, lost: 0, lostInWarmup: 0 },
  },
  {
    name: 'two swapped',
    receives: [0, 2, 1, 3],
    end: 4,
    want: { delivered: 4, duplicated: 0, reordered: 1, lost: 0, lostInWarmup: 0 },
  },
  {
    name: 'late, then again',
    receives: [0, 2, 1, 1],
    end: 3,
    want: { delivered: 3, duplicated: 1, reordered: 1, lost: 0, lostInWarmup: 0 },
  },
  {
    name: 'the middle of a gap',
    receives: [0, 6, 3, 5, 1],
    end: 7,
    want: { delivered: 5, duplicated: 0, reordered: 3, lost: 2, lostInWarmup: 0 },
  },
  {
    name: 'a refused publish is no loss',
    receives: [0, 2],
    end: 4,
    refused: [1, 3],
    want: { delivered: 2, duplicated: 0, reordered: 0, lost: 0, lostInWarmup: 0 },
  },
  {
    name: 'refused and lost side by side',
    receives: [4],
    end: 5,
    refused: [0, 2],
    want: { delivered: 1, duplicated: 0, reordered: 0, lost: 2, lostInWarmup: 1 },
  },
]) {
  t.test(`tally: ${name}`, async (t) => {
    const tally = new Tally(2);
    for (const sequence of receives) tally.receive(1, sequence);
    const losses = tally.lossesOf(1, 2, end, refused === undefined ? undefined : new Set(refused), true);
    const { delivered, duplicated, reordered } = tally;
    t.strictSame({ delivered, duplicated, reordered, ...losses }, want);
    t.equal(tally.isComplete(1, end), losses.lost === 0 && refused === undefined);
  });
}

t.test('tally: slots do not mix', async (t) => {
  const tally = new Tally(2);
  t.ok(tally.receive(0, 0));
  t.ok(tally.receive(1, 0));
  t.notOk(tally.receive(1, 0));
});

t.test('tally: a receiver that was away owes no account of that time, before and after it does', async (t) => {
  const tally = new Tally(1);
  for (const sequence of [0, 2]) tally.receive(0, sequence);
  tally.expectNext(0, SEQUENCE_ANY);
  t.strictSame(tally.lossesOf(0, 0, 20, undefined, false), { lost: 1, lostInWarmup: 0 });
  t.ok(tally.receive(0, 10));
  tally.receive(0, 12);
  t.strictSame(tally.lossesOf(0, 0, 14, undefined, true), { lost: 3, lostInWarmup: 0 });
  t.strictSame(tally.lossesOf(0, 0, 14, undefined, false), { lost: 2, lostInWarmup: 0 });
});

t.test('tally: a receiver that knows where it came back misses the first message too', async (t) => {
  const tally = new Tally(1);
  tally.expectNext(0, 10);
  tally.receive(0, 12);
  t.strictSame(tally.lossesOf(0, 0, 13, undefined, true), { lost: 2, lostInWarmup: 0 });
});

t.test('tally agrees with a set on any order of arrival', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat(30), { maxLength: 80 }), fc.nat(31), (arrivals, warmupEnd) => {
      const tally = new Tally(1);
      const seen = new Set<number>();
      let duplicates = 0;
      for (const sequence of arrivals) {
        const isNew = !seen.has(sequence);
        if (!isNew) duplicates++;
        seen.add(sequence);
        if (tally.receive(0, sequence) !== isNew) return false;
      }
      const missing = Array.from({ length: 31 }, (_, sequence) => sequence).filter((sequence) => !seen.has(sequence));
      const { lost, lostInWarmup } = tally.lossesOf(0, warmupEnd, 31, undefined, true);
      return (
        tally.delivered === seen.size &&
        tally.duplicated === duplicates &&
        lost === missing.length &&
        lostInWarmup === missing.filter((sequence) => sequence < warmupEnd).length
      );
    }),
  );
});

for (const changes of [
  { connections: 100, rooms: 10, processes: 2, rate: 50, durationSeconds: 3, warmupSeconds: 1 },
  { connections: 101, rooms: 7, processes: 3, publishers: 2, rate: 33.3, durationSeconds: 2, warmupSeconds: 0.5 },
  {
    connections: 9,
    rooms: 1,
    processes: 4,
    publishers: 5,
    rate: 10,
    durationSeconds: 2,
    warmupSeconds: 0,
    mode: 'fanout' as const,
  },
  { connections: 50, rooms: 50, processes: 2, rate: 7, durationSeconds: 1, warmupSeconds: 0 },
]) {
  t.test(`plan ${JSON.stringify(changes)}: every connection and every message belongs to exactly one process`, async (t) => {
    const options = completeOptions(changes);
    const streams = streamCount(options);
    const messages = messageCount(options);
    const rooms = new Array<number>(options.rooms).fill(0);
    const published: number[] = [];
    const perStream = new Array<number>(streams).fill(0);
    for (let processIndex = 0; processIndex < options.processes; processIndex++) {
      const plan = planProcess(options, processIndex);
      for (const [index, member] of plan.members.entries()) {
        t.equal(member.index, index);
        rooms[member.room] = (rooms[member.room] ?? 0) + 1;
      }
      const schedule = new Schedule(plan.streams, streams, messages, options.rate);
      let lastDueUs = -1;
      for (; !schedule.isDone; schedule.advance()) {
        const stream = plan.streams[schedule.place] as number;
        t.equal(schedule.message % streams, stream);
        t.equal(schedule.sequence, perStream[stream]);
        t.ok(schedule.dueUs > lastDueUs, 'in the order of due times');
        t.ok(Math.abs(schedule.dueUs - (schedule.message / options.rate) * 1e6) < 1e-3);
        const publisher = plan.members[plan.streamMembers[schedule.place] as number];
        t.equal(publisher?.room, stream % options.rooms, 'publishers are members of the room');
        lastDueUs = schedule.dueUs;
        perStream[stream] = (perStream[stream] ?? 0) + 1;
        published.push(schedule.message);
      }
    }
    t.equal(
      rooms.reduce((sum, count) => sum + count),
      options.connections,
    );
    t.ok(Math.max(...rooms) - Math.min(...rooms) <= 1, 'rooms are equally full');
    t.strictSame(
      published.sort((left, right) => left - right),
      Array.from({ length: messages }, (_, message) => message),
    );
    for (let stream = 0; stream < streams; stream++) t.equal(sequenceCount(stream, messages, streams), perStream[stream]);
  });
}

t.test('plan: slow members never publish, and do not depend on the number of processes', async (t) => {
  const slowOf = (processes: number): string[] => {
    const options = completeOptions({ mode: 'slow', connections: 100, rooms: 10, processes, slowShare: 0.3 });
    return Array.from({ length: processes }, (_, processIndex) => planProcess(options, processIndex).members)
      .flat()
      .filter((member) => member.isSlow)
      .map((member) => `${member.room}/${member.rank}`)
      .sort();
  };
  t.strictSame(slowOf(1), slowOf(4));
  t.ok(slowOf(1).length > 10 && slowOf(1).length < 45, `${slowOf(1).length} of 90`);
  t.notOk(slowOf(1).some((place) => place.endsWith('/0')));
});

t.test('plan: in mode reconnect a connection of its own publishes', async (t) => {
  const options = completeOptions({ mode: 'reconnect', connections: 20, rooms: 4, processes: 2 });
  t.strictSame(planProcess(options, 0).streamMembers, [-1, -1]);
});

t.test('plan: warmup is the first part of the schedule', async (t) => {
  const options = completeOptions({ rate: 100, warmupSeconds: 0.5, durationSeconds: 2 });
  t.equal(warmupCount(options), 50);
  t.equal(messageCount(options), 250);
  t.equal(sequenceCount(3, 3, 100), 0);
  t.equal(sequenceCount(2, 3, 100), 1);
});

t.test('room names are as long for the last room as for the first', async (t) => {
  t.equal(roomName(1, 0).length, roomName(0xffff_ffff, 199_999).length);
});

t.test('the shared clock is the one of hrtime', async (t) => {
  const differenceUs = nowUs() - Number(process.hrtime.bigint()) / 1000;
  t.ok(Math.abs(differenceUs) < 5_000, `${differenceUs} us apart`);
});

t.test('/proc: our own CPU time, memory and machine', async (t) => {
  const before = readCpuSeconds(process.pid) ?? Number.NaN;
  for (const endMs = performance.now() + 60; performance.now() < endMs; );
  const { user, system } = process.cpuUsage();
  const after = readCpuSeconds(process.pid) ?? Number.NaN;
  t.ok(after >= before);
  t.ok(Math.abs(after - (user + system) / 1e6) < 0.1, 'the same that the process says of itself');
  const memory = readMemory(process.pid);
  t.ok(memory !== null && memory.rssMb > 10 && memory.rssPeakMb >= memory.rssMb);
  t.ok((readMachineCpu()?.processSeconds ?? 0) > 0);
  t.equal(readCpuSeconds(4_194_999), null);
  t.equal(readMemory(4_194_999), null);
});

t.test('histogram: percentiles are right to a thousandth, and add up over base64', async (t) => {
  const odd = new LatencyHistogram();
  const even = new LatencyHistogram();
  for (let us = 1; us <= 100_000; us++) (us % 2 === 0 ? even : odd).record(us + 0.7);
  odd.addBase64(even.toBase64());
  t.equal(odd.count, 100_000);
  for (const percentile of [1, 50, 95, 99, 99.9]) {
    const want = percentile * 1000;
    t.ok(Math.abs(odd.percentileUs(percentile) - want) <= want * 0.001 + 1, `p${percentile} ${odd.percentileUs(percentile)}`);
  }
  t.match(odd.summaryMs(), { p50: 50.015 });
  odd.recordMany(5, 3);
  t.equal(odd.count, 100_003);
  odd.reset();
  t.equal(odd.count, 0);
  odd.destroy();
  even.destroy();
});

t.test('histogram: empty, below zero and above the top are no errors', async (t) => {
  const histogram = new LatencyHistogram();
  t.strictSame(histogram.summaryMs(), { p50: 0, p95: 0, p99: 0, p999: 0, max: 0 });
  t.equal(histogram.meanUs, 0);
  histogram.record(-3);
  histogram.record(Number.MAX_SAFE_INTEGER);
  t.equal(histogram.count, 2);
  t.ok(Math.abs(histogram.maxUs - LATENCY_US_MAX) < LATENCY_US_MAX * 0.001);
  histogram.destroy();
});

t.test('histogram: hgrm keeps the zeros after the point', async (t) => {
  // The WASM build's own writer prints 1.099 as 1.990.
  const histogram = new LatencyHistogram();
  histogram.record(1_099);
  t.match(histogram.toHgrm(), /^ +1\.099 /m);
  histogram.destroy();
});
