/**
 * What the parts of a lane share: its options, its output, its sessions, its timers, and where the record that is being handled stands.
 *
 * Thread: the lane's. `lane.ts` sets the per-record fields before it hands a record to a part; parts read them and never keep them: the bytes are
 * the ring's and are overwritten after the call.
 */
import { assert } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import type { Right } from '../protocol/grants.ts';
import type { MessageHeader } from '../protocol/header.ts';
import { decodeOptions, type OptionMap } from '../protocol/options.ts';
import type { Egress } from '../protocol/records.ts';
import type { Position } from '../protocol/types.ts';
import { type LaneLatencies, laneLatencies } from '../telemetry/stages.ts';
import type { LaneOptions } from './lane-options.ts';
import { LaneOutput } from './lane-output.ts';
import { denial, type SessionGrants } from './session-grants.ts';
import { Timers } from './timers.ts';
import type { Topic } from './topic.ts';

/** A session as this lane knows it. Each part of the lane keeps what it needs at a session's end in a field of its own. */
export interface LaneSession {
  readonly session: number;
  /** Who this is in presence, in `meta.publisher` and to services: the proven subject; without authentication HELLO's `client`, else the session's id. */
  readonly name: string;
  /** A lane's own session, which calls for that lane's workflows. */
  readonly isLane: boolean;
  /** The relay's own: may publish under `$`. */
  readonly isRelay: boolean;
  /** Null: everything is allowed. */
  grants: SessionGrants | null;
  readonly topics: Topic[];
  readonly patterns: string[];
}

/** What a publish of the relay's own may bring. */
export interface OwnPublish {
  readonly headers?: Readonly<Record<string, string>>;
  /** Where the stream stands, for one that must go on even if its topic was idle for so long that it was forgotten. */
  readonly last?: Position | undefined;
}

/** The relay's own topics, for the parts of the lane that tell of themselves; topic-commands.ts implements it. */
export interface OwnTopics {
  publishOwn(name: string, payload: Uint8Array, how?: OwnPublish): Position;
  ownPosition(name: string): Position;
  /** Does the topic exist, or may one more be made? What clients can name without end must ask first. */
  hasRoomForOwn(name: string): boolean;
  rebuildOwn(name: string, epoch: string | null, payloads: readonly Uint8Array[]): void;
}

export const NOBODY = 0;
const EMPTY = new Uint8Array(0);
/** A name may begin with U+FEFF: it is a character like any other, or two topics would go by one name. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });

export class LaneContext {
  readonly options: LaneOptions;
  readonly out: LaneOutput;
  readonly metrics: Float64Array;
  /** Written only: a lane decides nothing by them. */
  readonly latencies: LaneLatencies;
  readonly sessions = new Map<number, LaneSession>();
  readonly timers = new Timers();
  /** Choices that are not the topics' epochs: balancing, jitter, ids. A stream of its own, so that one does not shift the other. */
  readonly prng: Prng;
  /** Milliseconds since the epoch, read once per batch by whoever runs the lane. */
  nowMs = 0;
  /** Where the command stands, and who sent it. */
  bytes: Uint8Array = EMPTY;
  end = 0;
  session = NOBODY;
  /** When the front received the command, 0 outside of commands: goes on into what it leads to. Telemetry only, nothing is decided by it. */
  stampUs = 0;

  constructor(options: LaneOptions, egress: Egress, metrics: Float64Array, latencies: LaneLatencies = laneLatencies()) {
    this.options = options;
    this.latencies = latencies;
    this.out = new LaneOutput(egress);
    this.metrics = metrics;
    this.prng = new Prng(options.seed, CHOICES_STREAM + options.index);
  }

  /** How many sessions have grants. While there are none, nobody is looked up to be asked. */
  guardedCount = 0;

  /** Hot. Of the sender of the command; null: everything is allowed. */
  grants(): SessionGrants | null {
    return this.guardedCount === 0 ? null : (this.sessions.get(this.session)?.grants ?? null);
  }

  /** FORBIDDEN unless the sender has the right to that name. */
  demand(right: Right, name: string): void {
    if (this.grants()?.may(right, name) === false) throw denial(right, name);
  }

  /** The sender of the command. */
  knownSession(): LaneSession {
    const session = this.sessions.get(this.session);
    assert(session !== undefined, `command of session ${this.session} before its SESSION_OPEN`);
    return session;
  }

  /** The options that stand first in the command's body, for commands whose body is only that. */
  optionMap(header: MessageHeader): OptionMap {
    return decodeOptions(this.bytes, header.bodyStart, this.end);
  }

  keyText(header: MessageHeader): string {
    return this.text(header.keyStart, header.keyEnd);
  }

  text(start: number, end: number): string {
    return TEXT.decode(this.bytes.slice(start, end)); // slice: TextDecoder refuses shared memory.
  }
}

/** Epochs use the streams 0, 1, 2 … (one a lane). */
const CHOICES_STREAM = 0x0c401ce5;
