/** The smallest load that still tells a right account from a wrong one, and one run of it against a fake relay. */

import process from 'node:process';
import { type BenchOptions, runBench } from '../../../src/cli/bench/command.ts';
import { type FakeRelayOptions, startFakeRelay } from './fake-relay.ts';

export const LOAD: Partial<BenchOptions> = {
  connections: 20,
  rooms: 4,
  rate: 200,
  durationSeconds: 0.6,
  warmupSeconds: 0.2,
  processes: 2,
  connectRate: 5000,
  pid: process.pid,
};
/** 5 members each get 120 measured publishes of 4 rooms; 40 more in the warmup. */
export const MEASURED = 120;
export const ALL = 160;
export const MEMBERS = 5;

export async function run(relayOptions: FakeRelayOptions, changes: Partial<BenchOptions> = {}) {
  const { rooms = 1, publishers = 1, ...load } = { ...LOAD, ...changes };
  const relay = await startFakeRelay({ streams: rooms * publishers, ...relayOptions });
  try {
    const result = await runBench({ url: relay.url, ...load, rooms, publishers });
    return { result, counts: relay.counts };
  } finally {
    relay.stop();
  }
}
