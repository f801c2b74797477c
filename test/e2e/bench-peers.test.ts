/** Every peer that is installed carries a small load as the comparison wants it: everything to everybody in the room, to nobody else, in order. */
import t from 'tap';
import { installedServers, PEERS, serverKind } from '../../bench/peers/kinds.ts';
import { freePort, startServer } from '../../bench/support/server-process.ts';
import { runBench } from '../../src/cli/bench/command.ts';

const LOAD = { connections: 40, rooms: 8, rate: 200, durationSeconds: 1, warmupSeconds: 0.3, processes: 2, connectRate: 1_000 };

for (const name of installedServers(Object.keys(PEERS))) {
  t.test(name, async (t) => {
    const kind = serverKind(name);
    if (kind === null) throw new Error(`no kind ${name}`);
    const port = await freePort();
    const server = await startServer(kind.command(port));
    t.teardown(() => server.stop());
    const about = { url: `ws://127.0.0.1:${port}${kind.path}`, target: kind.target, pid: server.pid };
    const rooms = await runBench({ ...LOAD, ...about });
    t.match(rooms, { published: 200, expected: 1_000, delivered: 1_000, lost: 0, duplicated: 0, reordered: 0, foreign: 0 });
    t.ok((rooms.serverRssMb ?? 0) > 5);
    const churn = await runBench({ ...LOAD, ...about, mode: 'churn', churnRate: 40, awayMs: 50, payloadBytes: 300 });
    t.match(churn, { lost: 0, duplicated: 0, reordered: 0, foreign: 0 });
    t.ok((churn.churn?.cameBack ?? 0) > 5);
  });
}
