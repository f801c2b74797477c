/**
 * Question: what do others need for the same deliveries? The relay, plain uWebSockets.js, `ws`, Socket.IO, Bun and NATS under one load, interleaved.
 *
 *   npm run bench:peers                          all of it, about 40 minutes on 2 quiet cores: what was disturbed is repeated once
 *   npm run bench:peers -- --only peers-1k       one size
 *   npm run bench:peers -- --small --rounds 1    does it run? two minutes, a twentieth of the load
 *
 * Rooms of 10, 64 B, 10,000 deliveries a second at 1,000, 5,000 and 10,000 connections; and more than any of them can do, at 10,000: what they
 * still deliver. What is not installed is skipped by name. Not compared: what the relay does beyond it (order with offsets, history, recovery,
 * replies, named losses), which none of them does in this set-up. Writes peers-*.json; `npm run bench:report` renders it.
 */
import { PEERS } from './peers/kinds.ts';
import { runScenarios } from './support/scenarios.ts';

const SERVERS = ['floor', 'relay-1', 'relay-0', ...Object.keys(PEERS).filter((name) => name !== 'floor')];
const LOAD = { payload: 64, warmup: 2, duration: 5, processes: 1, 'connect-rate': 5_000 };
const ROUNDS = 5;

runScenarios(
  [
    ...[1_000, 5_000, 10_000].map((connections) => ({
      name: `peers-${connections / 1_000}k`,
      servers: SERVERS,
      load: { ...LOAD, connections, rooms: connections / 10, rate: 1_000 },
    })),
    { name: 'peers-saturation', servers: SERVERS, load: { ...LOAD, connections: 10_000, rooms: 1_000, rate: 20_000 } },
  ],
  ROUNDS,
);
