/**
 * `relay top`: the ops page in a terminal, from GET /ops/state of a running relay.
 *
 * On the alternate screen until q or Ctrl-C: the terminal is left as it was found. A relay that goes away is said and asked for again.
 */
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { LATENCY_WINDOWS, type LatencyWindow, type OpsState } from '../ops/ops-state.ts';
import { type Flag, integerFlag, parse } from './flags.ts';
import { askOps, opsUrl, refusalOf } from './ops-request.ts';
import { renderFrame } from './top-frame.ts';

const FLAGS: Readonly<Record<string, Flag>> = {
  ops: { type: 'string', default: 'http://127.0.0.1:8081', about: "the relay's ops port; RELAY_OPS_TOKEN has its token" },
  'interval-ms': { type: 'string', default: '1000', about: 'time between two looks, 100 at least' },
  window: { type: 'string', default: '10s', about: `latency over ${LATENCY_WINDOWS.join(', ')}` },
  once: { type: 'boolean', about: 'one frame as plain text, then end' },
  json: { type: 'boolean', about: 'the state itself, one line of JSON per look' },
};
const INTERVAL_MS_MIN = 100;

const ESCAPE = '\x1b[';
const ENTER = `${ESCAPE}?1049h${ESCAPE}?25l`;
const LEAVE = `${ESCAPE}?25h${ESCAPE}?1049l`;
/** A terminal that knows it shows the frame at once and not line by line; others ignore it. */
const FRAME_BEGIN = `${ESCAPE}?2026h${ESCAPE}H`;
const FRAME_END = `${ESCAPE}J${ESCAPE}?2026l`;

interface Options {
  readonly url: URL;
  readonly intervalMs: number;
  readonly window: LatencyWindow;
}

export async function top(argv: string[]): Promise<number> {
  const parsed = parse('relay top [--ops URL] [--once] [--json]', FLAGS, argv, [0, 0]);
  if (parsed.kind === 'exit') return parsed.code;
  const { values } = parsed;
  let options: Options;
  try {
    const window = LATENCY_WINDOWS.find((known) => known === values['window']);
    if (window === undefined) throw new Error(`--window must be one of ${LATENCY_WINDOWS.join(', ')}, got '${values['window']}'`);
    const intervalMs = integerFlag(values, 'interval-ms') as number;
    if (intervalMs < INTERVAL_MS_MIN) throw new Error(`--interval-ms must be ${INTERVAL_MS_MIN} at least, got '${intervalMs}'`);
    options = { url: stateUrl(values['ops'] as string), intervalMs, window };
  } catch (error) {
    process.stderr.write(`relay: ${(error as Error).message}\n`);
    return 2;
  }
  if (values['json'] === true) return printJson(options, values['once'] === true);
  if (values['once'] === true) return printOnce(options);
  if (!process.stdout.isTTY) {
    process.stderr.write('relay: top wants a terminal; for a pipe use --once or --json\n');
    return 2;
  }
  return new Screen(options).run();
}

/** `--ops` may be the ops port, or the page on it as it stands in a browser's address line. */
function stateUrl(text: string): URL {
  const url = opsUrl(text, '--ops');
  url.pathname = `${url.pathname.replace(/\/(ops\/?(state)?)?$/, '')}/ops/state`;
  return url;
}

async function ask(url: URL): Promise<OpsState> {
  const asked = await askOps(url);
  if (asked.status !== 200) throw new Error(refusalOf(asked));
  return JSON.parse(asked.text) as OpsState;
}

function failed(url: URL, error: unknown): number {
  process.stderr.write(
    `relay: no state from ${url}: ${(error as Error).message}; is a relay running there, with its ops port on?\n`,
  );
  return 1;
}

async function printOnce({ url, window }: Options): Promise<number> {
  try {
    const state = await ask(url);
    const width = process.stdout.columns ?? 120;
    const lines = renderFrame(state, {
      width,
      height: Number.POSITIVE_INFINITY,
      hasColor: false,
      window,
      source: url.host,
      lost: null,
    });
    process.stdout.write(`${lines.join('\n')}\n`);
    return 0;
  } catch (error) {
    return failed(url, error);
  }
}

async function printJson({ url, intervalMs }: Options, isOnce: boolean): Promise<number> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  // Who reads us has seen enough (`| head`).
  process.stdout.once('error', () => stop.abort());
  while (!stop.signal.aborted) {
    try {
      process.stdout.write(`${JSON.stringify(await ask(url))}\n`);
    } catch (error) {
      if (isOnce) return failed(url, error);
      failed(url, error);
    }
    if (isOnce) break;
    await sleep(intervalMs, undefined, { signal: stop.signal }).catch(() => {});
  }
  return 0;
}

/** The live view. */
class Screen {
  readonly #options: Options;
  readonly #stop = new AbortController();
  #window: LatencyWindow;
  #state: OpsState | null = null;
  #lost: { readonly sinceMs: number; readonly reason: string } | null = null;
  readonly #onKey = (key: Buffer): void => {
    const text = key.toString('latin1');
    if (text === 'q' || text === 'Q' || text === '\x03') this.#stop.abort();
    else if (text === 'w') {
      this.#window = LATENCY_WINDOWS[(LATENCY_WINDOWS.indexOf(this.#window) + 1) % LATENCY_WINDOWS.length] as LatencyWindow;
      this.#draw();
    }
  };
  readonly #onResize = (): void => {
    process.stdout.write(`${ESCAPE}2J`);
    this.#draw();
  };
  readonly #onSignal = (): void => this.#stop.abort();

  constructor(options: Options) {
    this.#options = options;
    this.#window = options.window;
  }

  async run(): Promise<number> {
    const { stdin, stdout } = process;
    const leave = (): void => void stdout.write(LEAVE);
    process.once('exit', leave); // However it ends, the terminal is given back.
    stdout.write(ENTER);
    stdout.on('resize', this.#onResize);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, this.#onSignal);
    if (stdin.isTTY) stdin.setRawMode(true);
    stdin.on('data', this.#onKey).resume();
    try {
      await this.#watch();
    } finally {
      stdin.off('data', this.#onKey).pause();
      if (stdin.isTTY) stdin.setRawMode(false);
      stdout.off('resize', this.#onResize);
      process.off('exit', leave);
      leave();
    }
    return 0;
  }

  async #watch(): Promise<void> {
    const { url, intervalMs } = this.#options;
    while (!this.#stop.signal.aborted) {
      try {
        this.#state = await ask(url);
        this.#lost = null;
      } catch (error) {
        this.#lost ??= { sinceMs: Date.now(), reason: (error as Error).message };
      }
      this.#draw();
      await sleep(intervalMs, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  /** Over what is there, line by line: a screen that is cleared first would flicker. A line is cleared before it, or a full one would lose its end. */
  #draw(): void {
    if (this.#stop.signal.aborted) return;
    const { columns, rows } = process.stdout;
    const hasColor = (process.env['NO_COLOR'] ?? '') === '';
    const dim = (text: string): string => (hasColor ? `${ESCAPE}2m${text}${ESCAPE}0m` : text);
    const lines = renderFrame(this.#state, {
      width: columns,
      height: rows - 1,
      hasColor,
      window: this.#window,
      source: this.#options.url.host,
      lost: this.#lost,
    });
    while (lines.length < rows - 1) lines.push('');
    lines.push(dim('q quit  w latency window'.slice(0, columns)));
    process.stdout.write(`${FRAME_BEGIN}${lines.map((line) => `${ESCAPE}K${line}`).join('\r\n')}${FRAME_END}`);
  }
}
