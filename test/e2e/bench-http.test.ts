/** The HTTP load: latencies that mean something, also where each connection is closed after its answer. */
import { execFile } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import type { HttpFigures, HttpLoad } from '../../bench/http/load.ts';
import { freePort, startServer } from '../../bench/support/server-process.ts';

const LOAD_FILE = fileURLToPath(new URL('../../bench/http/load.ts', import.meta.url));
const CONNECTIONS = 5;

for (const flags of [[], ['--close']]) {
  t.test(`five connections, ${flags.length === 0 ? 'kept' : 'closed after each answer'}`, async (t) => {
    const port = await freePort();
    const server = await startServer(['bench/peers/uws-http.ts', '--port', String(port), ...flags]);
    t.teardown(() => server.stop());
    const load: HttpLoad = {
      url: `http://127.0.0.1:${port}/`,
      method: 'POST',
      body: '{}',
      connections: CONNECTIONS,
      durationSeconds: 2,
    };
    const { stdout } = await promisify(execFile)(process.execPath, [LOAD_FILE, JSON.stringify(load)]);
    const figures = JSON.parse(stdout) as HttpFigures;
    t.match(figures, { refusedByStatus: {}, errors: 0, timeouts: 0 });
    t.ok(figures.requests > 50, `${figures.requests} requests`);
    // A closed loop: with the requests that were answered, a request took this long on average. A median far above it is a broken stopwatch.
    const meanMs = (1_000 * CONNECTIONS) / figures.requestsPerSecond;
    t.ok(figures.latencyMs.p50 <= 2 * meanMs + 1, `median ${figures.latencyMs.p50} ms, mean by rate ${meanMs.toFixed(2)} ms`);
  });
}
