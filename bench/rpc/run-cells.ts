/**
 * Makes the runs of bench:rpc: a fresh relay and generator per round and number of lanes, and in it one cell after the other.
 */
import { randomInt } from 'node:crypto';
import { rotated } from '../support/figures.ts';
import { GeneratorProcess } from '../support/generator-process.ts';
import { isDisturbed, measureQuietly, waitForQuiet } from '../support/quiet.ts';
import { freePort, parseRelayName, relayArgs, startServer } from '../support/server-process.ts';
import { type Cell, type CellReport, KINDS, type RpcLoad } from './plan.ts';

const CONNECT_GRACE_MS = 60_000;
/** Over what a cell itself takes: its drain, and whatever the machine does meanwhile. */
const CELL_GRACE_MS = 60_000;

export interface RpcSettings {
  readonly rounds: number;
  readonly servers: readonly string[];
  /** null: saturation. */
  readonly rates: readonly (number | null)[];
  readonly settleSecondsMax: number;
  /** Of a cell that others disturbed. */
  readonly repeatsMax: number;
  readonly load: RpcLoad;
}

export interface CellRun {
  readonly round: number;
  readonly server: string;
  readonly isDisturbed: boolean;
  readonly result: CellReport;
}

/** `told` hears of each run when it is made. The relay has been built. */
export async function runCells(settings: RpcSettings, told: (run: CellRun) => void): Promise<CellRun[]> {
  const runs: CellRun[] = [];
  for (let round = 0; round < settings.rounds; round++) {
    for (const server of rotated(settings.servers, round)) {
      await runServer(settings, server, round, (run) => {
        runs.push(run);
        told(run);
      });
    }
  }
  return runs;
}

async function runServer(settings: RpcSettings, server: string, round: number, made: (run: CellRun) => void): Promise<void> {
  const { load } = settings;
  const relay = parseRelayName(server);
  if (relay === null) throw new RangeError(`'${server}' is no relay-LANES[+setting=value ...]`);
  await waitForQuiet(settings.settleSecondsMax);
  const port = await freePort();
  const running = await startServer(relayArgs(port, relay.lanes, relay.settings));
  const generator = new GeneratorProcess(new URL('./generator.ts', import.meta.url));
  try {
    const connectMs = CONNECT_GRACE_MS + (load.idleConnections / load.connectsPerSecond) * 1000;
    const runId = randomInt(1, 0xffff_ffff);
    await generator.ask({ name: 'connect', port, pid: running.pid, runId, load }, connectMs);
    const cellMs = CELL_GRACE_MS + (load.warmupSeconds + load.durationSeconds) * 1000;
    for (const cell of cellsOf(settings, round)) {
      await waitForQuiet(settings.settleSecondsMax);
      for (const result of await measureQuietly(
        () => generator.ask<CellReport>({ name: 'measure', cell }, cellMs),
        settings.repeatsMax,
      )) {
        made({ round, server, isDisturbed: isDisturbed(result), result });
      }
    }
  } finally {
    await generator.dismiss();
    await running.stop();
  }
}

/** What nothing costs comes first; then rate by rate, the kinds beside each other and each round in another order. */
function cellsOf({ rates }: RpcSettings, round: number): Cell[] {
  return [{ kind: null, rate: null }, ...rates.flatMap((rate) => rotated(KINDS, round).map((kind) => ({ kind, rate })))];
}
