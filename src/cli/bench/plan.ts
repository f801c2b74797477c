/**
 * Plan: who is in which room, who publishes what, and when. Derived from the options alone, so every process derives the same one.
 *
 *   connection c   room c % rooms, rank c / rooms inside it
 *   stream s       what connection s publishes into its room, s < rooms * publishers: the first ranks are the publishers
 *   message i      stream i % streams, sequence i / streams, due at t0 + i / rate
 *
 * Whole rooms live in one process where there are at least as many rooms as processes: one publish then wakes one process, not all.
 */
import { Prng } from '../../base/prng.ts';
import type { BenchOptions } from './options.ts';

/** What the plan depends on; nothing else may. */
export type PlanOptions = Pick<
  BenchOptions,
  | 'connections'
  | 'rooms'
  | 'publishers'
  | 'rate'
  | 'durationSeconds'
  | 'warmupSeconds'
  | 'processes'
  | 'mode'
  | 'slowShare'
  | 'seed'
>;

export interface Member {
  /** Place in `members` of its process; the tag of its socket. */
  readonly index: number;
  readonly room: number;
  readonly rank: number;
  /** Stops reading for the run (mode slow). */
  readonly isSlow: boolean;
  /** May leave and come back (mode churn). */
  readonly isChurner: boolean;
}

export interface ProcessPlan {
  readonly members: readonly Member[];
  /** Streams that this process publishes, ascending, and the member that does it; -1: the process's separate publisher. */
  readonly streams: readonly number[];
  readonly streamMembers: readonly number[];
}

export function streamCount(options: PlanOptions): number {
  return options.rooms * options.publishers;
}

/** Messages of the whole run, warmup first. */
export function messageCount(options: PlanOptions): number {
  return warmupCount(options) + Math.round(options.rate * options.durationSeconds);
}

export function warmupCount(options: PlanOptions): number {
  return Math.round(options.rate * options.warmupSeconds);
}

/** How many messages of `stream` are among the first `messages` of the schedule. */
export function sequenceCount(stream: number, messages: number, streams: number): number {
  return messages <= stream ? 0 : Math.floor((messages - 1 - stream) / streams) + 1;
}

export function processOf(connection: number, options: PlanOptions): number {
  return (options.rooms >= options.processes ? connection % options.rooms : connection) % options.processes;
}

export function planProcess(options: PlanOptions, processIndex: number): ProcessPlan {
  const streamTotal = streamCount(options);
  const prng = new Prng(options.seed);
  const members: Member[] = [];
  const streams: number[] = [];
  const streamMembers: number[] = [];
  for (let connection = 0; connection < options.connections; connection++) {
    // Drawn for every connection, ours or not: who is slow must not depend on the number of processes.
    const draw = prng.nextFloat();
    if (processOf(connection, options) !== processIndex) continue;
    const index = members.length;
    const isPublisher = connection < streamTotal && options.mode !== 'reconnect';
    members.push({
      index,
      room: connection % options.rooms,
      rank: Math.floor(connection / options.rooms),
      isSlow: options.mode === 'slow' && !isPublisher && draw < options.slowShare,
      isChurner: options.mode === 'churn' && !isPublisher,
    });
    if (connection >= streamTotal) continue;
    streams.push(connection);
    streamMembers.push(isPublisher ? index : -1);
  }
  return { members, streams, streamMembers };
}

/** The same width for every room, so that one frame layout serves all of them. */
export function roomName(runId: number, room: number): string {
  return `bench.${runId.toString(16).padStart(8, '0')}.r${String(room).padStart(6, '0')}`;
}

/** Walks through one process's share of the schedule, in the order of due times. Times are relative to t0. */
export class Schedule {
  readonly #streams: readonly number[];
  readonly #streamTotal: number;
  readonly #messages: number;
  readonly #intervalUs: number;
  #round = 0;
  #place = 0;
  /** The message that is due next: its place in the whole schedule. Meaningless once `isDone`. */
  message = 0;
  dueUs = 0;
  isDone = false;

  constructor(streams: readonly number[], streamTotal: number, messages: number, rate: number) {
    this.#streams = streams;
    this.#streamTotal = streamTotal;
    this.#messages = messages;
    this.#intervalUs = 1_000_000 / rate;
    if (streams.length === 0) this.isDone = true;
    else this.#settle();
  }

  /** Index into the process's `streams`. */
  get place(): number {
    return this.#place;
  }

  get sequence(): number {
    return this.#round;
  }

  advance(): void {
    if (++this.#place === this.#streams.length) {
      this.#place = 0;
      this.#round++;
    }
    this.#settle();
  }

  #settle(): void {
    this.message = this.#round * this.#streamTotal + (this.#streams[this.#place] as number);
    this.dueUs = this.message * this.#intervalUs;
    // Streams ascend, so the first message past the end is followed by none inside.
    if (this.message >= this.#messages) this.isDone = true;
  }
}
