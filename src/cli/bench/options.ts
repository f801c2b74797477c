/**
 * Options of `relay bench`: flags to one complete, checked value; all problems at once.
 *
 * Pure but for one look at /proc when a server's pid is given. The defaults in `DEFAULTS` are what the help text prints.
 */
import { existsSync } from 'node:fs';
import { type Assertion, parseAssertions } from './assertions.ts';
import { PUBLISH_ID_FIRST, PUBLISH_ID_MAX } from './frames.ts';
import { PAYLOAD_BYTES_MIN } from './payload.ts';
import { messageCount } from './plan.ts';

export const MODES = ['fanout', 'rooms', 'churn', 'slow', 'reconnect'] as const;
export type Mode = (typeof MODES)[number];
/** What the server speaks; see peers/codec.ts. */
export const TARGETS = ['relay', 'raw', 'socket.io', 'nats'] as const;
export type TargetKind = (typeof TARGETS)[number];

export interface BenchOptions {
  readonly url: string;
  readonly target: TargetKind;
  readonly mode: Mode;
  readonly connections: number;
  readonly rooms: number;
  /** Publishing members per room. Order is promised, and checked, per publisher. */
  readonly publishers: number;
  /** Publishes per second, all rooms together. */
  readonly rate: number;
  readonly payloadBytes: number;
  readonly durationSeconds: number;
  readonly warmupSeconds: number;
  readonly processes: number;
  /** New connections per second, all processes together; also the pace of coming back in mode reconnect. */
  readonly connectRate: number;
  /** Ask for the reply to every publish; without it refused publishes show as losses. */
  readonly acks: boolean;
  /** Mode slow: this share of the members that do not publish stops reading. */
  readonly slowShare: number;
  /** Mode churn: members that leave per second, all processes together. */
  readonly churnRate: number;
  /** Mode churn: how long a member stays away. */
  readonly awayMs: number;
  /** A publish may go out this much late to share a wake-up of the generator with the next one. */
  readonly tickUs: number;
  readonly seed: number;
  /** Said in HELLO by every connection; empty: none. Never written to results. */
  readonly token: string;
  /** Server process to account for; null: none. */
  readonly pid: number | null;
  /** '-' is stdout; null: none. */
  readonly jsonPath: string | null;
  readonly hgrmPath: string | null;
  readonly assertions: readonly Assertion[];
}

export const DEFAULTS: BenchOptions = {
  url: 'ws://127.0.0.1:8080/v1/connect',
  target: 'relay',
  mode: 'rooms',
  connections: 1000,
  rooms: 100,
  publishers: 1,
  rate: 1000,
  payloadBytes: 128,
  durationSeconds: 10,
  warmupSeconds: 2,
  processes: 2,
  connectRate: 2000,
  acks: true,
  slowShare: 0.1,
  churnRate: 50,
  awayMs: 500,
  tickUs: 1000,
  seed: 1,
  token: '',
  pid: null,
  jsonPath: null,
  hgrmPath: null,
  assertions: [],
};

type NumberKey = {
  [Key in keyof BenchOptions]: BenchOptions[Key] extends number ? Key : never;
}[keyof BenchOptions];

interface NumberFlag {
  readonly key: NumberKey;
  readonly min: number;
  readonly max: number;
  readonly isInteger: boolean;
  readonly help: string;
}

const NUMBER_FLAGS: Readonly<Record<string, NumberFlag>> = {
  connections: { key: 'connections', min: 1, max: 200_000, isInteger: true, help: 'members, all processes together' },
  rooms: { key: 'rooms', min: 1, max: 200_000, isInteger: true, help: 'rooms they are spread over' },
  publishers: { key: 'publishers', min: 1, max: 1000, isInteger: true, help: 'publishing members per room' },
  rate: { key: 'rate', min: 0.1, max: 1_000_000, isInteger: false, help: 'publishes per second, all rooms together' },
  payload: { key: 'payloadBytes', min: PAYLOAD_BYTES_MIN, max: 1_048_576, isInteger: true, help: 'bytes of each message' },
  duration: { key: 'durationSeconds', min: 0.1, max: 3600, isInteger: false, help: 'measured seconds' },
  warmup: { key: 'warmupSeconds', min: 0, max: 3600, isInteger: false, help: 'seconds of the same load before them' },
  processes: { key: 'processes', min: 1, max: 64, isInteger: true, help: 'generator processes' },
  'connect-rate': { key: 'connectRate', min: 1, max: 100_000, isInteger: false, help: 'new connections per second' },
  'slow-share': { key: 'slowShare', min: 0, max: 1, isInteger: false, help: 'mode slow: share of members that stop reading' },
  'churn-rate': { key: 'churnRate', min: 0.1, max: 10_000, isInteger: false, help: 'mode churn: members that leave per second' },
  'away-ms': { key: 'awayMs', min: 0, max: 60_000, isInteger: true, help: 'mode churn: how long each stays away' },
  'tick-us': { key: 'tickUs', min: 50, max: 10_000, isInteger: true, help: 'a publish may be this late to share a wake-up' },
  seed: { key: 'seed', min: 0, max: 0xffff_ffff, isInteger: true, help: 'who is slow, who leaves when' },
};

const TEXT_FLAGS: Readonly<Record<string, string>> = {
  url: 'where to connect',
  mode: MODES.join(', '),
  target: 'relay, or a peer: socket.io, nats, or raw, which sends to the room in ?room= whatever it gets (see bench/peers)',
  token: 'a JWT that every connection says in HELLO',
  json: 'write all figures as JSON to FILE, or to stdout with -',
  hgrm: 'write the latency distribution to FILE',
  assert: "fail unless these hold, such as 'p99<5,lost=0'",
  pid: 'server process whose CPU time and memory to report',
};

const SWITCHES: ReadonlySet<string> = new Set(['--no-acks', '--help', '-h']);

/** Everything that is wrong, one line each. */
export class BenchOptionsError extends Error {
  override readonly name = 'BenchOptionsError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`invalid bench options:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

export type ParsedFlags = { readonly options: BenchOptions; readonly problems: readonly string[]; readonly wantsHelp: boolean };

/** Never throws: with `problems` the options are not to be used. */
export function parseFlags(argv: readonly string[]): ParsedFlags {
  const problems: string[] = [];
  const changes: Record<string, unknown> = {};
  let wantsHelp = false;
  const seen = new Set<string>();
  // By hand: node:util's parseArgs stops at the first problem, or in its lenient mode lets a flag swallow the next one.
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] as string;
    if (!argument.startsWith('-')) {
      problems.push(`'${argument}' is not expected: every setting is a --flag`);
      continue;
    }
    const equalsAt = argument.indexOf('=');
    const flag = equalsAt < 0 ? argument : argument.slice(0, equalsAt);
    let value = equalsAt < 0 ? null : argument.slice(equalsAt + 1);
    const isSwitch = SWITCHES.has(flag);
    const next = argv[index + 1];
    if (value === null && !isSwitch && next !== undefined && !next.startsWith('--')) {
      value = next;
      index++;
    }
    if (seen.has(flag)) problems.push(`${flag} is given twice`);
    seen.add(flag);
    const name = flag.slice(2);
    if (isSwitch && value !== null) problems.push(`${flag} takes no value, got '${value}'`);
    else if (flag === '--help' || flag === '-h') wantsHelp = true;
    else if (flag === '--no-acks') changes['acks'] = false;
    else if (!flag.startsWith('--') || !(Object.hasOwn(NUMBER_FLAGS, name) || Object.hasOwn(TEXT_FLAGS, name))) {
      problems.push(`${flag} is not a flag of relay bench; see --help`);
    } else if (value === null) problems.push(`${flag} needs a value`);
    else readFlag(name, value, changes, problems);
  }
  const rooms = changes['mode'] === 'fanout' && !seen.has('--rooms') ? 1 : DEFAULTS.rooms;
  const options: BenchOptions = { ...DEFAULTS, rooms, ...changes };
  checkOptions(options, problems);
  return { options, problems, wantsHelp };
}

/** What a program gives instead of flags: defaults filled in, checked in the same way. Throws BenchOptionsError. */
export function completeOptions(changes: Partial<BenchOptions>): BenchOptions {
  const rooms = changes.mode === 'fanout' ? 1 : DEFAULTS.rooms;
  const options: BenchOptions = { ...DEFAULTS, rooms, ...changes };
  const problems: string[] = [];
  for (const [name, { key, ...bounds }] of Object.entries(NUMBER_FLAGS)) checkNumber(`--${name}`, options[key], bounds, problems);
  checkOptions(options, problems);
  if (problems.length > 0) throw new BenchOptionsError(problems);
  return options;
}

function readFlag(name: string, text: string, changes: Record<string, unknown>, problems: string[]): void {
  const flag = NUMBER_FLAGS[name];
  if (flag !== undefined) {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (checkNumber(`--${name}`, value, flag, problems, text)) changes[flag.key] = value;
    return;
  }
  switch (name) {
    case 'mode':
      if ((MODES as readonly string[]).includes(text)) changes['mode'] = text;
      else problems.push(`--mode must be one of ${MODES.join(', ')}, got '${text}'`);
      break;
    case 'target':
      if ((TARGETS as readonly string[]).includes(text)) changes['target'] = text;
      else problems.push(`--target must be one of ${TARGETS.join(', ')}, got '${text}'`);
      break;
    case 'pid':
      if (/^[1-9]\d{0,9}$/.test(text)) changes['pid'] = Number(text);
      else problems.push(`--pid must be a process id, got '${text}'`);
      break;
    case 'assert': {
      const parsed = parseAssertions(text);
      problems.push(...parsed.problems.map((problem) => `--assert: ${problem}`));
      changes['assertions'] = parsed.assertions;
      break;
    }
    case 'json':
    case 'hgrm':
      if (text === '') problems.push(`--${name} needs a file name`);
      else if (text === '-' && name === 'hgrm') problems.push('--hgrm needs a file name: stdout is taken by the figures');
      else changes[`${name}Path`] = text;
      break;
    default:
      changes[name] = text;
  }
}

function checkNumber(
  name: string,
  value: number,
  bounds: { readonly min: number; readonly max: number; readonly isInteger: boolean },
  problems: string[],
  text = String(value),
): boolean {
  if (value >= bounds.min && value <= bounds.max && (!bounds.isInteger || Number.isInteger(value))) return true;
  problems.push(
    `${name} must be ${bounds.isInteger ? 'an integer' : 'a number'} in [${bounds.min}, ${bounds.max}], got '${text}'`,
  );
  return false;
}

/** What flags mean together. */
function checkOptions(options: BenchOptions, problems: string[]): void {
  const url = URL.canParse(options.url) ? new URL(options.url) : null;
  if (url?.protocol === 'wss:') problems.push('--url: wss is not supported; TLS would be measured, not the relay');
  else if (url?.protocol !== 'ws:') problems.push(`--url must be a ws:// address, got '${options.url}'`);
  else if (url.hash !== '' || url.username !== '') problems.push('--url must have no user and no #fragment');
  const { connections, rooms, publishers, processes, mode } = options;
  if (mode === 'fanout' && rooms !== 1) problems.push(`--mode fanout has one room, got --rooms ${rooms}`);
  if (rooms > connections)
    problems.push(`--rooms must not be more than --connections: ${rooms} rooms, ${connections} connections`);
  else if (rooms * publishers > connections) {
    problems.push(
      `--publishers: ${rooms} rooms of ${publishers} publishers need ${rooms * publishers} connections, got ${connections}`,
    );
  }
  if (processes > connections) problems.push(`--processes must not be more than --connections: ${processes}, ${connections}`);
  if (options.target !== 'relay' && mode === 'reconnect')
    problems.push(`--mode reconnect needs --target relay: ${options.target} has nothing to recover from`);
  if (options.target !== 'relay' && !options.acks) problems.push(`--no-acks needs --target relay: ${options.target} has no acks`);
  if (PUBLISH_ID_FIRST + messageCount(options) > PUBLISH_ID_MAX)
    problems.push('--rate and --duration together are more than 2^32 messages');
  if (Math.round(options.rate * options.durationSeconds) < 1) {
    problems.push(`--rate ${options.rate} for ${options.durationSeconds} s publishes nothing`);
  }
  if (options.pid !== null && !existsSync(`/proc/${options.pid}/stat`))
    problems.push(`--pid: there is no process ${options.pid}`);
  if (options.pid === null) {
    for (const { metric } of options.assertions) {
      if (metric.needsPid) problems.push(`--assert: ${metric.name} needs --pid`);
    }
  }
}

export function helpText(): string {
  const lines = Object.entries(NUMBER_FLAGS).map(([name, flag]) => [`--${name} ${DEFAULTS[flag.key]}`, flag.help]);
  for (const [name, help] of Object.entries(TEXT_FLAGS)) {
    const value = name === 'url' || name === 'mode' || name === 'target' ? DEFAULTS[name] : name.toUpperCase();
    lines.push([`--${name} ${value}`, help]);
  }
  lines.push(['--no-acks', 'do not ask for replies to publishes (id 0)']);
  const width = Math.max(...lines.map(([left = '']) => left.length));
  return [
    'relay bench: open-loop load. The publish schedule is fixed in advance and latency counts from the moment a message was due,',
    'so a server that stalls is charged for everything that waited.',
    '',
    ...lines.map(([left = '', right = '']) => `  ${left.padEnd(width)}  ${right}`),
    '',
    'Exit code: 0 done, 1 the run failed or an assertion does not hold, 2 wrong flags.',
    '',
  ].join('\n');
}
