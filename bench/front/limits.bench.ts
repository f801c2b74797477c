/**
 * Question: what do limits and turns cost the front per command, and how long is its longest turn while one connection floods it? Not: sockets, lanes, and what
 * the kernel takes.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { frontOptions } from '../../src/app/config.ts';
import { DEFAULTS } from '../../src/app/config-table.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Front } from '../../src/front/front.ts';
import type { LimitOptions } from '../../src/front/limits/limit-options.ts';
import type { RateRule } from '../../src/front/limits/rate-rules.ts';
import { type Connection, SendResult } from '../../src/front/ports.ts';
import type { Session } from '../../src/front/session.ts';
import { pack } from '../../src/protocol/codec.ts';
import { leaveOutStacks } from '../../src/protocol/errors.ts';
import type { Lanes } from '../../src/protocol/lane-port.ts';
import { MessageType } from '../../src/protocol/types.ts';
import { bench, median, param, percentile, proveWork, report, reportFigures } from '../harness.ts';

bench('front/limits', 'cost of a command on the front with and without limits, and the longest turn while one connection floods');
const COUNT = param('count', { smoke: 5_000, full: 2_000_000 });
const ROUNDS = param('rounds', { smoke: 1, full: 7 });
const SESSIONS = param('sessions', { smoke: 500, full: 10_000 });
const FLOOD = param('flood', { smoke: 2_000, full: 30_000 });
/** Rates that nothing here reaches. */
const PLENTY = 1_000_000_000;

leaveOutStacks();

/** Takes everything and does nothing. */
class NoLanes implements Lanes {
  readonly count = 1;
  taken = 0;

  tryWrite(): boolean {
    this.taken++;
    return true;
  }
  tryWriteOrKeep(): boolean {
    return this.tryWrite();
  }
  allHaveRoom(): boolean {
    return true;
  }
  isBehind(): boolean {
    return false;
  }
  write(): void {}
  flush(): void {}
}

class Rig {
  readonly lanes = new NoLanes();
  readonly front: Front;
  readonly steps: (() => void)[] = [];
  framesSent = 0;

  constructor(limits: Partial<LimitOptions>) {
    const options = frontOptions(DEFAULTS);
    const schedule = (step: () => void): void => void this.steps.push(step);
    this.front = new Front({ ...options, schedule, limits: { ...options.limits, ...limits } }, this.lanes, systemClock);
  }

  open(address: string): Session {
    const connection: Connection = {
      remoteAddress: address,
      send: () => {
        this.framesSent++;
        return SendResult.WRITTEN;
      },
      ping: () => undefined,
      bufferedBytes: () => 0,
      close: () => undefined,
      terminate: () => undefined,
    };
    const session = this.front.open(connection);
    this.front.onMessage(session, pack([MessageType.HELLO, 1, null]), true);
    return session;
  }

  /** The end of the turn; how long it took. */
  turn(): number {
    const startMs = performance.now();
    for (const step of this.steps.splice(0)) step();
    return performance.now() - startMs;
  }
}

const publish = pack([MessageType.PUBLISH, 7, 'room.123456', null, new Uint8Array(64)]);
const rule = (scope: RateRule['scope'], what: RateRule['what'], perSecond = PLENTY): RateRule => ({ scope, what, perSecond });

/** One PUBLISH in each WebSocket message, ten of them in a turn, by many sessions in turn. */
function publishes(label: string, limits: Partial<LimitOptions>, wantTaken: boolean): void {
  const rig = new Rig(limits);
  const sessions = Array.from({ length: 100 }, (_, index) => rig.open(`192.0.2.${index % 10}`));
  const elapsed: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = rig.lanes.taken;
    const startMs = performance.now();
    for (let index = 0; index < COUNT; index++) {
      rig.front.onMessage(sessions[index % sessions.length] as Session, publish, true);
      if (index % 10 === 9) rig.turn();
    }
    elapsed.push(performance.now() - startMs);
    if (wantTaken) proveWork(label, rig.lanes.taken - before, COUNT);
    else if (rig.lanes.taken - before > COUNT / 2) throw new Error(`wrong work done: ${label}: nothing was refused`);
  }
  report(label, median(elapsed), COUNT);
}

/** A message of as many PINGs as fit, and then turns until all are answered: the first one is the transport's call. */
function flood(label: string, limits: Partial<LimitOptions>): void {
  const ping = pack([MessageType.PING, 7]);
  const message = Buffer.concat(Array.from({ length: FLOOD }, () => ping));
  const turnMs: number[] = [];
  const total: number[] = [];
  let turns = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const rig = new Rig(limits);
    const session = rig.open('192.0.2.1');
    rig.turn();
    const startMs = performance.now();
    rig.front.onMessage(session, message, true);
    const ofRound = [performance.now() - startMs];
    while (session.held !== null) ofRound.push(rig.turn());
    turns = ofRound.length;
    turnMs.push(...ofRound);
    const totalMs = ofRound.reduce((sum, ms) => sum + ms, 0);
    proveWork(label, rig.front.metrics.messagesReceived, FLOOD + 1);
    total.push(totalMs);
  }
  // The longest of all is a pause of the collector, or of the machine.
  const [p50, p99] = [median(turnMs), percentile(turnMs, 0.99)];
  reportFigures(label, { turnP50Ms: p50, turnP99Ms: p99, usPerPing: (median(total) * 1_000) / FLOOD, turns });
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What 10,000 connections, each of an address of its own, take of memory. */
function memory(label: string, rateLimits: readonly RateRule[]): void {
  const rig = new Rig({ rateLimits });
  const used = (): number => {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  const sessions = Array.from({ length: SESSIONS }, (_, index) => rig.open(`198.51.${index >> 8}.${index & 0xff}`));
  rig.turn();
  const bytes = used() - before;
  proveWork(label, rig.front.connectionCount, sessions.length);
  reportFigures(label, { bytesPerConnection: bytes / SESSIONS });
}

publishes('PUBLISH, no rate limits', {}, true);
publishes('PUBLISH, one limit of the connection', { rateLimits: [rule('connection', 'publish')] }, true);
publishes(
  'PUBLISH, three limits of connection and two of address',
  {
    rateLimits: [
      rule('connection', 'publish'),
      rule('connection', 'command'),
      rule('connection', 'bytes'),
      rule('address', 'publish'),
      rule('address', 'bytes'),
    ],
  },
  true,
);
publishes('PUBLISH, refused', { rateLimits: [rule('connection', 'publish', 1)], refusalsMax: PLENTY }, false);
flood('a message of PINGs, turns as by default', {});
flood('a message of PINGs, unbounded turns', { commandsPerTurnMax: PLENTY, commandsPerTurnTotalMax: PLENTY });
memory('memory, no rate limits', []);
memory('memory, two limits of the connection', [rule('connection', 'publish'), rule('connection', 'bytes')]);
memory('memory, one limit of the connection and one of the address', [rule('connection', 'publish'), rule('address', 'connect')]);
