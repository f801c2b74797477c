/**
 * The measured window of a generator: what server, generator and machine used between `open` and `close`.
 */
import process from 'node:process';
import { type MachineCpu, machineFigures, readCpuSeconds, readMachineCpu, readMemory } from '../../src/cli/bench/proc-stat.ts';
import type { MachineFigures } from '../../src/cli/bench/result.ts';
import { nowUs } from '../../src/cli/bench/shared-clock.ts';
import { rounded } from './figures.ts';

export interface WindowFigures {
  readonly elapsedSeconds: number;
  /** User and system time of the whole process, to a hundredth: that is as exact as the kernel counts. */
  readonly serverCpuSeconds: number;
  readonly serverRssMb: number;
  readonly serverRssPeakMb: number;
  readonly generatorCpuSeconds: number;
  readonly machine: MachineFigures | null;
}

export class MeasuredWindow {
  readonly #pid: number;
  readonly #cpuSeconds: number;
  readonly #ownCpu: NodeJS.CpuUsage;
  readonly #machine: MachineCpu | null;
  readonly openedUs: number;

  constructor(serverPid: number) {
    this.#pid = serverPid;
    this.#cpuSeconds = cpuSecondsOf(serverPid);
    this.#ownCpu = process.cpuUsage();
    this.#machine = readMachineCpu();
    this.openedUs = nowUs();
  }

  close(): WindowFigures {
    const elapsedSeconds = (nowUs() - this.openedUs) / 1_000_000;
    const serverCpuSeconds = cpuSecondsOf(this.#pid) - this.#cpuSeconds;
    const { user, system } = process.cpuUsage(this.#ownCpu);
    const generatorCpuSeconds = (user + system) / 1_000_000;
    const memory = readMemory(this.#pid);
    return {
      elapsedSeconds: rounded(elapsedSeconds, 4),
      serverCpuSeconds: rounded(serverCpuSeconds, 2),
      serverRssMb: rounded(memory?.rssMb ?? Number.NaN, 1),
      serverRssPeakMb: rounded(memory?.rssPeakMb ?? Number.NaN, 1),
      generatorCpuSeconds: rounded(generatorCpuSeconds, 2),
      machine: machineFigures(this.#machine, readMachineCpu(), serverCpuSeconds, generatorCpuSeconds),
    };
  }
}

function cpuSecondsOf(pid: number): number {
  const seconds = readCpuSeconds(pid);
  if (seconds === null) throw new Error(`nothing is known about the server's process ${pid}: this bench needs /proc`);
  return seconds;
}
