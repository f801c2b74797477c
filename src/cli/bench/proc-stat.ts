/**
 * What Linux knows about another process and about the machine: CPU time and memory, from /proc.
 * A process that is gone has neither, and on another system nothing is known (null).
 */
import { readFileSync } from 'node:fs';
import type { MachineFigures } from './result.ts';

/** USER_HZ, fixed at 100 for everything in /proc on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** User and system time of all threads so far, those that have ended too. */
export function readCpuSeconds(pid: number): number | null {
  const stat = readProc(pid, 'stat');
  if (stat === null) return null;
  // The second field is the command in parentheses and may hold anything, more parentheses too.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND; // utime and stime, fields 14 and 15.
}

export interface ProcessMemory {
  readonly rssMb: number;
  /** The highest since the process began. */
  readonly rssPeakMb: number;
}

export function readMemory(pid: number): ProcessMemory | null {
  const status = readProc(pid, 'status');
  if (status === null) return null;
  return { rssMb: kilobytes(status, 'VmRSS') / 1024, rssPeakMb: kilobytes(status, 'VmHWM') / 1024 };
}

export interface MachineCpu {
  /** User and system time of all processes. Interrupts are not in it: they belong to nobody. */
  readonly processSeconds: number;
  readonly interruptSeconds: number;
  /** Time that the hypervisor gave to another machine. */
  readonly stolenSeconds: number;
  readonly idleSeconds: number;
}

export function readMachineCpu(): MachineCpu | null {
  const text = readProc('', 'stat');
  const line = text === null ? null : /^cpu +(.*)$/m.exec(text);
  if (line === null) return null;
  const [user = 0, nice = 0, system = 0, idle = 0, ioWait = 0, irq = 0, softIrq = 0, steal = 0] = (line[1] ?? '')
    .split(' ')
    .map((ticks) => Number(ticks) / TICKS_PER_SECOND);
  return {
    processSeconds: user + nice + system,
    interruptSeconds: irq + softIrq,
    stolenSeconds: steal,
    idleSeconds: idle + ioWait,
  };
}

/** What the machine did between two readings, the server's and the generator's own share taken out; null where there is no /proc. */
export function machineFigures(
  start: MachineCpu | null,
  end: MachineCpu | null,
  serverCpuSeconds: number | null,
  generatorCpuSeconds: number,
): MachineFigures | null {
  if (start === null || end === null) return null;
  const otherSeconds = end.processSeconds - start.processSeconds - generatorCpuSeconds - (serverCpuSeconds ?? 0);
  return {
    otherCpuSeconds: serverCpuSeconds === null ? null : hundredths(Math.max(otherSeconds, 0)),
    interruptSeconds: hundredths(end.interruptSeconds - start.interruptSeconds),
    stolenSeconds: hundredths(end.stolenSeconds - start.stolenSeconds),
    idleSeconds: hundredths(end.idleSeconds - start.idleSeconds),
  };
}

/** As exact as a tick. */
function hundredths(seconds: number): number {
  return Number(seconds.toFixed(2));
}

function readProc(pid: number | '', file: string): string | null {
  try {
    return readFileSync(pid === '' ? `/proc/${file}` : `/proc/${pid}/${file}`, 'latin1');
  } catch {
    return null;
  }
}

function kilobytes(status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0);
}
