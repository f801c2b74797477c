/** The ops port with a state that the test makes up: the page as it is served, before a relay that is as well or as ill as wanted. */
import { readFileSync } from 'node:fs';
import type { Test } from 'tap';
import { opsPageFiles } from '../../src/app/ops-page.ts';
import type { OpsState } from '../../src/ops/ops-state.ts';
import { OpsServer } from '../../src/transport/ops-server.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends object ? Mutable<T[K]> : T[K] };
export type SampleState = Mutable<OpsState>;

/** test/fixtures/ops-state.json: three lanes, 9,984 connections, services, workflows, slow sessions and drops. A copy for each caller. */
export function sampleState(): SampleState {
  return JSON.parse(readFileSync(new URL('../fixtures/ops-state.json', import.meta.url), 'utf8')) as SampleState;
}

export interface SampleOps {
  readonly origin: string;
  /** What the next answers are made of; `nowMs` goes on by itself. */
  state: SampleState;
  /** Answers so far. */
  readonly answers: number;
}

export async function startSampleOps(t: Test, state: SampleState = sampleState()): Promise<SampleOps> {
  const beganMs = Date.now();
  const sampleNowMs = state.nowMs;
  let answers = 0;
  const sample = { state, origin: '' };
  const server = new OpsServer(
    { host: '127.0.0.1', port: 0, token: () => null },
    {
      health: () => ({ ...sample.state.health, started: true }),
      latency: () => sample.state.latency,
      hgrm: () => null,
      slow: () => sample.state.slow,
      metrics: async () => '',
      page: opsPageFiles,
      admin: {
        revoke: async () => ({ status: 404, body: {} }),
        revocations: () => ({ status: 404, body: {} }),
      },
      state: () => {
        answers++;
        return { ...(sample.state as OpsState), nowMs: sampleNowMs + Date.now() - beganMs };
      },
    },
  );
  const origin = `http://127.0.0.1:${await server.listen()}`;
  t.teardown(() => server.close());
  return Object.defineProperties(sample, {
    origin: { value: origin },
    answers: { get: () => answers },
  }) as unknown as SampleOps;
}
