/**
 * Options of START, RUN and DEFINE: decoded, checked and typed. A problem is an exception with the field's name in it, answered as BAD_REQUEST.
 *
 * Any thread (lanes; the front for a RUN with a pattern, which it answers for all lanes).
 */
import { unpack } from './codec.ts';
import { RelayError } from './errors.ts';
import { integer, isAbsent, isMap, type OptionMap, text } from './options.ts';
import { hasExtension } from './skip.ts';

const KEY_BYTES_MAX = 128;
const RUN_BYTES_MAX = 64;
const STAGE_BYTES_MAX = 64;
/** A month: what is to run for longer is better started again by whoever waits for it. */
export const RUN_DEADLINE_MS_MAX = 2_592_000_000;
export const VERSION_MAX = 1_000_000_000;
const LIST_LIMIT_DEFAULT = 100;
const LIST_LIMIT_MAX = 1_000;

export const RUN_STATES = ['running', 'paused', 'cancelling', 'compensating', 'succeeded', 'failed', 'cancelled'] as const;
export type RunStateName = (typeof RUN_STATES)[number];

export const RUN_ACTIONS = ['status', 'result', 'cancel', 'pause', 'resume', 'retry', 'list', 'definition'] as const;
export type RunAction = (typeof RUN_ACTIONS)[number];

export interface StartOptions {
  /** The same key gets the same run back for as long as that is kept. */
  readonly key: string | null;
  /** 0: what the definition says. */
  readonly deadlineMs: number;
  /** 0: the newest. */
  readonly version: number;
}

export type RunOptions =
  | { readonly action: 'status' | 'cancel' | 'pause' | 'resume' | 'retry'; readonly run: string }
  /** The run's result; `stage`: that stage's; `index`: one part of a forEach stage's. */
  | { readonly action: 'result'; readonly run: string; readonly stage: string | null; readonly index: number | null }
  | { readonly action: 'list'; readonly state: RunStateName | null; readonly limit: number }
  /** `version` 0: the newest. */
  | { readonly action: 'definition'; readonly version: number };

export function startOptions({ key, deadlineMs, version }: OptionMap): StartOptions {
  return {
    key: isAbsent(key) ? null : text('key', key, KEY_BYTES_MAX),
    deadlineMs: isAbsent(deadlineMs) ? 0 : integer('deadlineMs', deadlineMs, 1, RUN_DEADLINE_MS_MAX),
    version: isAbsent(version) ? 0 : integer('version', version, 1, VERSION_MAX),
  };
}

export function runOptions(options: OptionMap): RunOptions {
  const { run, action, state, limit, version, stage, index } = options;
  if (!RUN_ACTIONS.includes(action as RunAction))
    throw new RelayError('BAD_REQUEST', `action must be one of ${RUN_ACTIONS.join(', ')}`);
  switch (action as RunAction) {
    case 'list':
      if (!isAbsent(state) && !RUN_STATES.includes(state as RunStateName))
        throw new RelayError('BAD_REQUEST', `state must be one of ${RUN_STATES.join(', ')}`);
      return {
        action: 'list',
        state: isAbsent(state) ? null : (state as RunStateName),
        limit: isAbsent(limit) ? LIST_LIMIT_DEFAULT : integer('limit', limit, 1, LIST_LIMIT_MAX),
      };
    case 'definition':
      return { action: 'definition', version: isAbsent(version) ? 0 : integer('version', version, 1, VERSION_MAX) };
    case 'result':
      if (!isAbsent(index) && isAbsent(stage)) throw new RelayError('BAD_REQUEST', 'index needs a stage');
      return {
        action: 'result',
        run: text('run', run, RUN_BYTES_MAX),
        stage: isAbsent(stage) ? null : text('stage', stage, STAGE_BYTES_MAX),
        index: isAbsent(index) ? null : integer('index', index, 0, Number.MAX_SAFE_INTEGER),
      };
    default:
      return { action: action as 'status' | 'cancel' | 'pause' | 'resume' | 'retry', run: text('run', run, RUN_BYTES_MAX) };
  }
}

/** What a RUN with a pattern may ask for: a list. Called by the front, which answers for all lanes. */
export function runPatternOptions(options: OptionMap): { readonly state: RunStateName | null; readonly limit: number } {
  const parsed = runOptions(options);
  if (parsed.action !== 'list') throw new RelayError('BAD_REQUEST', "with a pattern the action must be 'list'");
  return parsed;
}

/** The definition of a DEFINE at `bytes[start, end)`, which is one well-formed value. What must stand in it is the workflows' own matter. */
export function definitionValue(bytes: Uint8Array, start: number, end: number): Readonly<Record<string, unknown>> {
  if (hasExtension(bytes, start, end)) throw new RelayError('BAD_REQUEST', 'a definition must not contain extension types');
  let value: unknown;
  try {
    value = unpack(bytes.subarray(start, end));
  } catch {
    throw new RelayError('BAD_REQUEST', 'the definition could not be decoded');
  }
  if (!isMap(value)) throw new RelayError('BAD_REQUEST', 'a definition must be a map');
  return value;
}
