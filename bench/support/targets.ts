/** The table of targets: what was asked for, what was measured, what follows from it. */
import type { GcFigures } from './gc-pauses.ts';

export interface SloFigures {
  readonly connections: number;
  /** At the steady load. */
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly deliveriesPerSecond: number;
  /** At the load that asks for more. */
  readonly peakDeliveriesPerSecond: number;
  readonly rssPeakMb: number;
  /** Of both loads. */
  readonly gc: GcFigures;
  readonly gcSteady: GcFigures;
  /** Of both loads, warmups included. */
  readonly lost: number;
}

export interface Verdict {
  readonly target: string;
  /** A goal that is missed is said and fails nothing. */
  readonly weight: 'must' | 'goal';
  readonly measured: string;
  readonly isMet: boolean;
}

const ms = (value: number): string => `${value.toFixed(2)} ms`;
const mb = (value: number): string => `${value.toFixed(0)} MB`;
const pauses = ({ count, p50Ms, p99Ms, maxMs }: GcFigures): string =>
  `P50 ${ms(p50Ms)}, P99 ${ms(p99Ms)} of ${count}, worst ${ms(maxMs)}`;
const whole = (value: number): string => Math.round(value).toLocaleString('en-US');

export function verdicts(figures: SloFigures): Verdict[] {
  const { p95Ms, p99Ms, rssPeakMb, gc, gcSteady, lost, peakDeliveriesPerSecond } = figures;
  const must = (target: string, measured: string, isMet: boolean): Verdict => ({ target, weight: 'must', measured, isMet });
  const goal = (target: string, measured: string, isMet: boolean): Verdict => ({ target, weight: 'goal', measured, isMet });
  const steady = `at ${whole(figures.deliveriesPerSecond)} deliveries/s`;
  return [
    must('P95 < 100 ms', ms(p95Ms), p95Ms < 100),
    must('P99 < 500 ms', ms(p99Ms), p99Ms < 500),
    must('P95 < 50 ms', ms(p95Ms), p95Ms < 50),
    must('P99 < 150 ms', ms(p99Ms), p99Ms < 150),
    goal('P99 < 1 ms at 10,000 deliveries/s', `${ms(p99Ms)} ${steady}`, p99Ms < 1),
    must('memory < 400 MB', mb(rssPeakMb), rssPeakMb < 400),
    goal('memory <= 110 MB', mb(rssPeakMb), rssPeakMb <= 110),
    must('>= 100,000 events/s', `${whole(peakDeliveriesPerSecond)} deliveries/s`, peakDeliveriesPerSecond >= 100_000),
    must('GC pauses P99 < 0.5 ms', `${pauses(gc)}; at the steady load ${pauses(gcSteady)}`, gc.p99Ms < 0.5),
    must('0 lost', whole(lost), lost === 0),
  ];
}

export function exitCodeOf(verdicts: readonly Verdict[]): number {
  return verdicts.some(({ weight, isMet }) => weight === 'must' && !isMet) ? 1 : 0;
}
