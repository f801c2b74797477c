/**
 * House rules that neither compiler nor linter knows. A rule is data or a small function; a problem says what is allowed instead.
 *
 * Run by test/tidy.test.ts. By hand: node scripts/tidy.ts
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Which rooms of src/ a room may import from. Everything points one way; nobody imports cli or client from below. */
export const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  base: [],
  protocol: ['base'],
  ops: ['base', 'protocol'],
  'ops-page': ['base', 'protocol', 'ops'],
  shm: ['base'],
  telemetry: ['base', 'shm'],
  lane: ['base', 'protocol', 'telemetry'],
  pool: ['base', 'protocol', 'shm', 'telemetry', 'lane'],
  front: ['base', 'protocol', 'telemetry'],
  auth: ['base', 'protocol', 'telemetry', 'front'],
  audit: ['base', 'protocol', 'telemetry', 'front'],
  transport: ['base', 'protocol', 'ops', 'telemetry', 'front'],
  app: ['base', 'protocol', 'ops', 'shm', 'telemetry', 'lane', 'pool', 'front', 'transport', 'auth', 'audit'],
  client: ['base', 'protocol'],
  cli: ['base', 'protocol', 'ops', 'shm', 'client', 'app', 'telemetry', 'auth', 'audit'],
};

/** Outside libraries of src/, each with the one room that may import it. */
export const LIBRARY_ROOMS: Readonly<Record<string, string>> = {
  '@uwsjs': 'transport',
  piscina: 'pool',
  msgpackr: 'protocol',
  'prom-client': 'telemetry',
  'hdr-histogram-js': 'telemetry',
  pino: 'telemetry',
  jose: 'auth',
  uplot: 'ops-page',
};

/** Rooms that run in a browser or are deterministic: nothing of Node's. */
const NODE_FREE_ROOMS = ['base', 'protocol', 'ops', 'ops-page', 'lane', 'client'];

interface Ban {
  readonly room: string;
  /** True: banned everywhere in src/ but there. */
  readonly outside?: true;
  readonly pattern: RegExp;
  readonly instead: string;
}

const LANE_TIME = 'a lane has no clock: use the nowMs that handle() and tick() are given';
const LANE_TIMER = 'a lane has no timers: do it in tick(nowMs)';
const LANE_RANDOM = 'a lane has no random source: use its Prng (base/prng.ts), seeded by its options';

export const BANS: readonly Ban[] = [
  {
    room: 'shm',
    outside: true,
    pattern: /\bAtomics\b/g,
    instead: 'shared memory is for shm/: use its rings, doorbells and counters, or add what is missing there',
  },
  { room: 'lane', pattern: /\bDate\.now\b|\bnew Date\b|\bperformance\b|\bsystemClock\b|\bhrtime\b/g, instead: LANE_TIME },
  { room: 'lane', pattern: /\bset(Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|\bnextTick\b/g, instead: LANE_TIMER },
  { room: 'lane', pattern: /\bMath\.random\b|\bcrypto\b|\brandomId\b|\brandomUUID\b/g, instead: LANE_RANDOM },
];

export const SOURCE_LINES_MAX = 600;
/** Assembled, so that this file does not find itself. */
const UNFINISHED = ['FIX', 'ME'].join('');
const MACHINE_PATH = new RegExp(`(^|[\\s'"\`(=:])/(${['home', 'root', 'tmp', 'work', 'Users'].join('|')})/[\\w.-]`);
const FOCUSED = [
  /\bt\d?(?:\.test)?\.(?:skip|only|todo)\b/g,
  /\b(?:skip|only|todo): *true\b/g,
  /\{\s*(?:skip|only|todo): *['"`]/g,
];

export interface SourceFile {
  /** From the project's root, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** All problems of one file. `exists` answers for paths from the root. */
export function fileProblems(file: SourceFile, exists: (path: string) => boolean): string[] {
  const problems: string[] = [];
  if (file.path.endsWith('.ts')) {
    const source = stripSource(file.text);
    if (file.path.startsWith('src/')) {
      problems.push(...importProblems(file.path, source), ...banProblems(file.path, source.bare), ...lengthProblems(file));
    }
    if (file.path.endsWith('.test.ts')) problems.push(...focusProblems(file.path, source.bare));
  }
  if (file.path.endsWith('.md')) problems.push(...linkProblems(file, exists));
  return [...problems, ...textProblems(file)];
}

function importProblems(path: string, source: StrippedSource): string[] {
  const room = roomOf(path);
  const allowed = ALLOWED[room];
  if (allowed === undefined)
    return [`${path}: src/${room} is no room; rooms: ${Object.keys(ALLOWED).join(', ')} (scripts/tidy.ts)`];
  const problems: string[] = [];
  for (const { specifier, line } of importsOf(source)) {
    const at = `${path}:${line}`;
    if (specifier.startsWith('.')) {
      const target = roomOf(posix.join(posix.dirname(path), specifier));
      if (target === room || allowed.includes(target)) continue;
      problems.push(`${at}: ${room} may not import ${target}; allowed: ${allowed.join(', ') || 'nothing'}`);
    } else if (specifier.startsWith('node:')) {
      if (NODE_FREE_ROOMS.includes(room))
        problems.push(`${at}: ${room} may not import ${specifier}: it runs where there is no Node; pass it in through a port`);
    } else {
      const library = Object.keys(LIBRARY_ROOMS).find((known) => specifier === known || specifier.startsWith(`${known}/`));
      if (library === undefined)
        problems.push(
          `${at}: ${specifier} is no library of src/; known: ${Object.keys(LIBRARY_ROOMS).join(', ')} (scripts/tidy.ts)`,
        );
      else if (LIBRARY_ROOMS[library] !== room)
        problems.push(
          `${at}: only ${LIBRARY_ROOMS[library]} may import ${library}; use what src/${LIBRARY_ROOMS[library]} exports`,
        );
    }
  }
  return problems;
}

/** Found where strings are blank, so that no string looks like an import; the group says where the specifier stands. */
const IMPORTS = [
  /\b(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]*)['"]/dg,
  /\bimport\s*['"]([^'"]*)['"]/dg,
  /\bimport\s*\(\s*['"]([^'"]*)['"]/dg,
];
const URLS = /\bnew URL\(\s*['"]([^'"]*)['"]\s*,\s*import\.meta\.url/dg;
const STRINGS = /['"`]([^'"`$]*)/dg;

/** Specifiers of imports, re-exports and dynamic imports, source files named by `new URL`, and the library that is loaded by a computed name. */
export function importsOf({ code, bare }: StrippedSource): { readonly specifier: string; readonly line: number }[] {
  const find = (pattern: RegExp, isMeant: (text: string) => boolean) =>
    [...bare.matchAll(pattern)].flatMap((match) => {
      const [start, end] = (match.indices as RegExpIndicesArray)[1] as [number, number];
      const specifier = code.slice(start, end);
      return isMeant(specifier) ? [{ specifier, line: lineOf(bare, match) }] : [];
    });
  return [
    ...IMPORTS.flatMap((pattern) => find(pattern, () => true)),
    ...find(URLS, (text) => text.endsWith('.ts')),
    ...find(STRINGS, (text) => text.startsWith('@uwsjs/')),
  ];
}

function banProblems(path: string, bare: string): string[] {
  const room = roomOf(path);
  return BANS.filter((ban) => (ban.room === room) !== (ban.outside === true)).flatMap(({ pattern, instead }) =>
    [...bare.matchAll(pattern)].map((match) => `${path}:${lineOf(bare, match)}: no ${match[0]} in ${room}/: ${instead}`),
  );
}

function lengthProblems({ path, text }: SourceFile): string[] {
  const lineCount = text.split('\n').length - 1;
  return lineCount <= SOURCE_LINES_MAX
    ? []
    : [`${path}: ${lineCount} lines; a file has at most ${SOURCE_LINES_MAX}, split it by job`];
}

function focusProblems(path: string, bare: string): string[] {
  return FOCUSED.flatMap((pattern) => [...bare.matchAll(pattern)]).map(
    (match) =>
      `${path}:${lineOf(bare, match)}: no ${match[0].trim()} in a test: what does not run proves nothing; fix it or delete it`,
  );
}

function textProblems({ path, text }: SourceFile): string[] {
  const problems: string[] = [];
  text.split('\n').forEach((line, index) => {
    if (line.includes(UNFINISHED))
      problems.push(`${path}:${index + 1}: ${UNFINISHED} stops a merge: fix it, or write TODO with who or when`);
    if (MACHINE_PATH.test(line))
      problems.push(`${path}:${index + 1}: a path of one machine; use a relative one, import.meta.url or os.tmpdir()`);
  });
  return problems;
}

/** Relative links lead to files that are there, and `#anchors` within the same page to a heading. */
function linkProblems({ path, text }: SourceFile, exists: (path: string) => boolean): string[] {
  const prose = text.replace(/^(```|~~~)[\s\S]*?^\1/gm, blank).replace(/`[^`\n]*`/g, blank);
  const anchors = new Set([...text.matchAll(/^#+ +(.+)$/gm)].map((match) => anchorOf(match[1] as string)));
  const problems: string[] = [];
  for (const match of prose.matchAll(/\]\(<?([^()\s>]+)>?(?: "[^"]*")?\)/g)) {
    const link = match[1] as string;
    if (/^[a-z][a-z0-9+.-]*:/i.test(link)) continue;
    const [target = '', anchor] = link.split('#');
    const at = `${path}:${lineOf(prose, match)}`;
    if (target === '') {
      if (!anchors.has(anchor ?? '')) problems.push(`${at}: no heading for #${anchor}; headings: ${[...anchors].join(', ')}`);
      continue;
    }
    const resolved = target.startsWith('/') ? target.slice(1) : posix.join(posix.dirname(path), decodeURI(target));
    if (!exists(resolved)) problems.push(`${at}: ${link} leads nowhere: there is no ${resolved}`);
  }
  return problems;
}

/** As GitHub makes them. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-');
}

export interface StrippedSource {
  readonly code: string;
  readonly bare: string;
}

/**
 * The source without comments (`code`), and without the insides of strings and regular expressions too (`bare`). Newlines stay, so that
 * lines can be counted. A scanner of the few token kinds that can hide a comment or a quote, not a parser.
 */
export function stripSource(text: string): StrippedSource {
  let code = '';
  let bare = '';
  /** For each open `${`: how many braces were opened inside it. */
  const templates: number[] = [];
  let at = 0;
  const take = (end: number, inCode: boolean, inBare: boolean): void => {
    const piece = text.slice(at, end);
    code += inCode ? piece : blank(piece);
    bare += inBare ? piece : blank(piece);
    at = end;
  };
  const takeQuoted = (end: number): void => {
    take(at + 1, true, true);
    take(Math.max(at, end - 1), true, false);
    take(end, true, true);
  };
  const takeTemplate = (): void => {
    const end = templateEnd(text, at);
    take(end, true, false);
    if (text.startsWith('${', end - 2)) templates.push(0);
  };
  while (at < text.length) {
    const character = text[at] as string;
    if (text.startsWith('//', at)) take(endOf(text, '\n', at, 0), false, false);
    else if (text.startsWith('/*', at)) take(endOf(text, '*/', at + 2, 2), false, false);
    else if (character === "'" || character === '"') takeQuoted(quotedEnd(text, at, character));
    else if (character === '/' && startsExpression(bare)) takeQuoted(regexEnd(text, at));
    else if (character === '`') {
      take(at + 1, true, true);
      takeTemplate();
    } else if (character === '}' && templates.at(-1) === 0) {
      templates.pop();
      take(at + 1, true, true);
      takeTemplate();
    } else {
      if (templates.length > 0 && character === '{') templates[templates.length - 1]!++;
      if (templates.length > 0 && character === '}') templates[templates.length - 1]!--;
      take(at + 1, true, true);
    }
  }
  return { code, bare };
}

/** Offset after the closing quote, or the line's end. */
function quotedEnd(text: string, start: number, quote: string): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === quote || text[at] === '\n') return at + 1;
  }
  return text.length;
}

/** Offset after the closing slash; a slash in a class is none. */
function regexEnd(text: string, start: number): number {
  let inClass = false;
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '[') inClass = true;
    else if (text[at] === ']') inClass = false;
    else if ((text[at] === '/' && !inClass) || text[at] === '\n') return at + 1;
  }
  return text.length;
}

/** Offset after the closing backtick, or after the next `${`. */
function templateEnd(text: string, start: number): number {
  for (let at = start; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '`') return at + 1;
    else if (text.startsWith('${', at)) return at + 2;
  }
  return text.length;
}

function endOf(text: string, mark: string, from: number, after: number): number {
  const found = text.indexOf(mark, from);
  return found < 0 ? text.length : found + after;
}

/** Would a `/` after this begin a regular expression? After an operand it divides. */
function startsExpression(before: string): boolean {
  const trimmed = before.trimEnd();
  return trimmed === '' || /[(,=:[!&|?{};+\-*%<>~^]$|\b(?:return|typeof|case|of|in)$/.test(trimmed.slice(-12));
}

function blank(text: string): string {
  return text.replace(/[^\n]/g, ' ');
}

function lineOf(text: string, match: RegExpMatchArray): number {
  return text.slice(0, match.index).split('\n').length;
}

/** `src/lane/topic.ts` -> `lane` */
function roomOf(path: string): string {
  return path.split('/')[1] ?? '';
}

// ---- the tree

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FOLDERS = ['src', 'test', 'scripts', 'bench', 'docs', 'examples', 'deploy', '.github'];
const SKIPPED_FOLDERS = ['node_modules', '.tap', 'dist', '__pycache__'];
const TEXT_FILE = /\.(ts|mts|mjs|js|md|py|html|css|yaml|yml|service)$/;

/** The project's own text files: those of the folders above, and the pages beside package.json. */
export function projectFiles(): SourceFile[] {
  const paths = readdirSync(ROOT).filter((name) => name.endsWith('.md'));
  for (const folder of FOLDERS) collect(folder, paths);
  return paths.sort().map((path) => ({ path, text: readFileSync(ROOT + path, 'utf8') }));
}

function collect(folder: string, paths: string[]): void {
  if (!existsSync(ROOT + folder)) return;
  for (const entry of readdirSync(ROOT + folder, { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      if (!SKIPPED_FOLDERS.includes(entry.name)) collect(path, paths);
    } else if (TEXT_FILE.test(entry.name)) paths.push(path);
  }
}

export function projectProblems(): string[] {
  return projectFiles().flatMap((file) => fileProblems(file, (path) => existsSync(ROOT + path)));
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const problems = projectProblems();
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
