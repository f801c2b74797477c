/**
 * The HTTP side of a run: one autocannon in a process of its own, told what to do on its command line, answering in one line of JSON.
 *
 *   node bench/http/load.ts '{"url": …, "connections": …}'
 *
 * A process of its own, so that its CPU is the generator's and not the coordinator's, and so that 10,000 connections of it get their own share of ports.
 * autocannon is closed-loop: each connection asks again when it has been answered. Its latencies are whole milliseconds.
 */
import { createRequire } from 'node:module';
import process from 'node:process';

export interface HttpLoad {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly body: string | null;
  readonly connections: number;
  readonly durationSeconds: number;
}

export interface HttpFigures {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly elapsedSeconds: number;
  readonly latencyMs: {
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
  /** Answers other than 2xx, by status. */
  readonly refusedByStatus: Readonly<Record<string, number>>;
  /** Connections that broke, and requests without an answer in time. */
  readonly errors: number;
  readonly timeouts: number;
  readonly cpuSeconds: number;
}

/** The part of autocannon's result that is used here; it carries no types. */
interface AutocannonResult {
  readonly requests: { readonly total: number; readonly average: number };
  readonly latency: Readonly<Record<'p50' | 'p90' | 'p99' | 'p99_9' | 'max', number>>;
  readonly statusCodeStats: Readonly<Record<string, { readonly count: number }>>;
  readonly errors: number;
  readonly timeouts: number;
  readonly duration: number;
}
type Autocannon = (options: object) => Promise<AutocannonResult>;

/** One connection of it. `_doRequest` is private to autocannon 9.0.0, the pinned version. */
interface AutocannonClient {
  on(event: 'headers', listener: (head: { readonly headers: readonly string[] }) => void): void;
  _doRequest(): void;
}

const REQUEST_TIMEOUT_SECONDS = 10;

/**
 * Where a server closes after its answer, autocannon writes its next request into the closing connection all the same. Nobody answers that one, but it stays
 * in autocannon's queue, and each later answer is taken for that of an older request: latencies grow without end. So the request that would follow an
 * answer with `Connection: close` is left out, and the one on the next connection is the next. Its latency has the TCP handshake in it, as a client's has.
 */
function heedClosing(client: AutocannonClient): void {
  const doRequest = client._doRequest;
  let isClosing = false;
  client.on('headers', ({ headers }) => {
    const at = headers.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === 'connection');
    isClosing = at >= 0 && headers[at + 1]?.toLowerCase() === 'close';
  });
  client._doRequest = () => {
    if (!isClosing) doRequest.call(client);
    isClosing = false;
  };
}

async function main(load: HttpLoad): Promise<HttpFigures> {
  const autocannon = createRequire(import.meta.url)('autocannon') as Autocannon;
  const cpuAtStart = process.cpuUsage();
  const result = await autocannon({
    url: load.url,
    method: load.method,
    connections: load.connections,
    duration: load.durationSeconds,
    timeout: REQUEST_TIMEOUT_SECONDS,
    setupClient: heedClosing,
    ...(load.body === null ? {} : { body: load.body, headers: { 'content-type': 'application/json' } }),
  });
  const { user, system } = process.cpuUsage(cpuAtStart);
  const refused = Object.entries(result.statusCodeStats).filter(([status]) => !status.startsWith('2'));
  const { p50, p90, p99, p99_9: p999, max } = result.latency;
  return {
    requests: result.requests.total,
    requestsPerSecond: Math.round(result.requests.total / result.duration),
    elapsedSeconds: result.duration,
    latencyMs: { p50, p90, p99, p999, max },
    refusedByStatus: Object.fromEntries(refused.map(([status, { count }]) => [status, count])),
    errors: result.errors - result.timeouts,
    timeouts: result.timeouts,
    cpuSeconds: Number(((user + system) / 1_000_000).toFixed(2)),
  };
}

const figures = await main(JSON.parse(process.argv[2] ?? '{}') as HttpLoad);
process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit(0)); // Connections that nobody answered would hold it.
