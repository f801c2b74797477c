/** `relay audit verify|show`: is an audit log whole, and what does it say? Reads files, asks no relay. */
import process from 'node:process';
import { codeOf } from '../audit/audit-file.ts';
import { GENESIS, readLine } from '../audit/line.ts';
import { linesOf, type Verified, verifyFiles } from '../audit/verify.ts';
import { type Flag, parse } from './flags.ts';

const USAGE = `usage:
  relay audit verify FILE...   is the chain whole? Files in the order of rotation: audit.log.0* audit.log
  relay audit show FILE...     its lines, or some of them
`;
const FILES_MAX = 100_000;

const VERIFY_FLAGS: Readonly<Record<string, Flag>> = {
  'from-hash': {
    type: 'string',
    about: 'a hash noted elsewhere: it must be that of a line, or what the first line follows',
  },
};

const SHOW_FLAGS: Readonly<Record<string, Flag>> = {
  event: { type: 'string', about: 'only lines of this event' },
  subject: { type: 'string', about: 'only lines with this subject' },
  session: { type: 'string', about: 'only lines with this session' },
};

export async function audit(argv: string[]): Promise<number> {
  const [action, ...rest] = argv;
  try {
    if (action === 'verify') return await verify(rest);
    if (action === 'show') return await show(rest);
  } catch (error) {
    if (codeOf(error) === '') throw error;
    process.stderr.write(`relay: ${(error as Error).message}\n`);
    return 2;
  }
  const isAsked = action === '--help' || action === '-h';
  (isAsked ? process.stdout : process.stderr).write(USAGE);
  return isAsked ? 0 : 2;
}

async function verify(argv: readonly string[]): Promise<number> {
  const parsed = parse('relay audit verify FILE... [--from-hash HASH]', VERIFY_FLAGS, argv, [1, FILES_MAX]);
  if (parsed.kind === 'exit') return parsed.code;
  const anchor = parsed.values['from-hash'] as string | undefined;
  if (anchor !== undefined && !/^[0-9a-f]{64}$/.test(anchor)) {
    process.stderr.write(`relay: --from-hash must be 64 hexadecimal digits, got '${anchor}'\n`);
    return 2;
  }
  const verified = await verifyFiles(parsed.positionals, anchor ?? null);
  const { problem } = verified;
  if (problem === null) {
    process.stdout.write(wholeText(verified, anchor !== undefined));
    return 0;
  }
  const at = problem.line === 0 ? problem.file : `${problem.file}:${problem.line}`;
  process.stderr.write(`${at}: ${problem.kind}: ${problem.text}\n`);
  if (verified.last !== null) process.stderr.write(`whole before that: ${rangeText(verified)}\n`);
  return 1;
}

function wholeText(verified: Verified, isAnchored: boolean): string {
  const { first, last, tornLines } = verified;
  const lines = [`whole: ${rangeText(verified)}`, `last hash: ${last?.hash}`];
  if (tornLines > 0) lines.push(`cut off by a crash or a full disk, and told by the line after: ${tornLines}`);
  if (first !== null && first.prev !== GENESIS.hash && !isAnchored)
    lines.push(`begins after: ${first.prev} (not among these files; --from-hash says that it must)`);
  return `${lines.join('\n')}\n`;
}

function rangeText({ lines, first, last }: Verified): string {
  return `${lines} lines, ${first?.seq} to ${last?.seq}, from ${first?.time} to ${last?.time}`;
}

/** Lines as they stand; what is none is told on the error output. Does not ask whether the chain is whole. */
async function show(argv: readonly string[]): Promise<number> {
  const usage = 'relay audit show FILE... [--event EVENT] [--subject SUBJECT] [--session NUMBER]';
  const parsed = parse(usage, SHOW_FLAGS, argv, [1, FILES_MAX]);
  if (parsed.kind === 'exit') return parsed.code;
  const wanted = Object.keys(SHOW_FLAGS).flatMap((name) => {
    const value = parsed.values[name];
    return typeof value === 'string' ? [[name, value] as const] : [];
  });
  for await (const { file, line, bytes } of linesOf(parsed.positionals)) {
    const read = readLine(bytes);
    if (typeof read === 'string') {
      process.stderr.write(`${file}:${line}: ${read === 'changed' ? 'changed: its bytes do not give its hash' : 'no line'}\n`);
      continue;
    }
    if (!wanted.every(([name, value]) => String(read.facts[name]) === value)) continue;
    process.stdout.write(bytes);
    process.stdout.write('\n');
  }
  return 0;
}
