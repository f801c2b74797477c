/**
 * The mini relay's workflows: stages one after the other, one step each, one attempt each. Enough for a client to start, follow and steer runs.
 */
import { MessageType } from '../../../src/protocol/types.ts';
import type { MiniServices, Peer } from './mini-services.ts';

interface Definition {
  readonly name: string;
  readonly version: number;
  readonly stages: readonly {
    readonly name: string;
    readonly service: string;
    readonly method: string;
    readonly timeoutMs?: number;
  }[];
}

interface Run {
  readonly run: string;
  readonly workflow: string;
  readonly definition: Definition;
  readonly input: unknown;
  readonly topic: string;
  state: string;
  reason: { readonly code: string; readonly text: string } | null;
  result: unknown;
  /** The stage that runs or failed, and what it works on. */
  stageIndex: number;
  value: unknown;
  attempt: number;
}

export interface MiniTopics {
  publishOwn(topic: string, payload: unknown): void;
  position(topic: string): { epoch: string; offset: number };
}

export class MiniWorkflows {
  readonly #services: MiniServices;
  readonly #topics: MiniTopics;
  readonly #definitions = new Map<string, Definition[]>();
  readonly #runs = new Map<string, Run>();
  readonly #keys = new Map<string, Run>();
  /** STARTs that reached us. */
  startCount = 0;

  constructor(services: MiniServices, topics: MiniTopics) {
    this.#services = services;
    this.#topics = topics;
  }

  /** True if the command was of workflows. */
  handle(peer: Peer, command: readonly unknown[], ok: (result: unknown) => void): boolean {
    const [type, id, workflow, options] = command as [number, number, string, Record<string, unknown> | null];
    const fail = (code: number, text: string) => peer.say([MessageType.ERROR, id, code, text, null]);
    switch (type) {
      case MessageType.DEFINE: {
        const definition = command[4] as Definition;
        const versions = this.#definitions.get(workflow) ?? [];
        const known = versions.find(({ version }) => version === definition.version);
        if (definition.name !== workflow) fail(100, 'bad definition: name must be the workflow');
        else if (known !== undefined && JSON.stringify(known) !== JSON.stringify(definition)) fail(112, 'another content');
        else {
          if (known === undefined) this.#definitions.set(workflow, [...versions, definition]);
          ok({ workflow, version: definition.version });
        }
        return true;
      }
      case MessageType.START: {
        this.startCount++;
        const { key } = (options ?? {}) as { key?: string };
        const definition = this.#definitions.get(workflow)?.at(-1);
        const known = key === undefined ? undefined : this.#keys.get(key);
        if (definition === undefined) fail(103, 'not found');
        else if (known !== undefined) ok(this.#started(known, true));
        else {
          const number = this.#runs.size + 1;
          const run: Run = {
            run: `r${number}`,
            workflow,
            definition,
            input: command[4],
            topic: `$workflow.${workflow}.r${number}`,
            state: 'running',
            reason: null,
            result: null,
            stageIndex: 0,
            value: command[4],
            attempt: 1,
          };
          this.#runs.set(run.run, run);
          if (key !== undefined) this.#keys.set(key, run);
          ok(this.#started(run, false));
          this.#tell(run, { kind: 'started', version: definition.version });
          this.#next(run);
        }
        return true;
      }
      case MessageType.RUN: {
        const { run: name, action, version } = (options ?? {}) as { run?: string; action: string; version?: number };
        const definitions = this.#definitions.get(workflow);
        const run = this.#runs.get(name ?? '');
        if (action === 'result' && run?.state === 'succeeded') ok({ result: run.result });
        else if (action === 'list')
          ok({
            runs: [...this.#runs.values()]
              .filter((one) => one.workflow === workflow)
              .map(statusOf)
              .reverse(),
          });
        else if (action === 'definition') {
          const found = version === undefined ? definitions?.at(-1) : definitions?.find((one) => one.version === version);
          if (found === undefined) fail(103, 'not found');
          else ok({ workflow, version: found.version, versions: definitions?.map((one) => one.version), definition: found });
        } else if (run === undefined || run.workflow !== workflow) fail(103, 'not found');
        else if (!this.#act(run, action)) fail(112, `conflict: the run is ${run.state}`);
        else ok(statusOf(run));
        return true;
      }
      default:
        return false;
    }
  }

  #started({ run, topic, definition }: Run, duplicate: boolean): object {
    const { epoch } = this.#topics.position(topic);
    return { run, topic, epoch, offset: 0, version: definition.version, ...(duplicate ? { duplicate } : {}) };
  }

  #act(run: Run, action: string): boolean {
    if (action === 'status') return true;
    const [from, to, kind] =
      action === 'cancel'
        ? [['running', 'paused'], 'cancelled', 'cancelled']
        : action === 'pause'
          ? [['running'], 'paused', 'paused']
          : action === 'resume'
            ? [['paused'], 'running', 'resumed']
            : [['failed'], 'running', 'retried'];
    if (!from.includes(run.state)) return false;
    run.state = to as string;
    this.#tell(run, { kind });
    if (kind === 'cancelled') this.#services.cancel(this.#caller(run, run.attempt), 1);
    if (kind === 'retried') run.attempt++;
    if (to === 'running') this.#next(run);
    return true;
  }

  #next(run: Run): void {
    const stage = run.definition.stages[run.stageIndex];
    if (run.state !== 'running') return;
    if (stage === undefined) {
      run.state = 'succeeded';
      run.result = run.value;
      this.#tell(run, { kind: 'succeeded', result: run.value });
      return;
    }
    const { attempt } = run;
    this.#tell(run, { kind: 'stageStarted', stage: stage.name });
    this.#tell(run, { kind: 'stepStarted', stage: stage.name, index: 0, attempt });
    const headers = { workflow: run.workflow, run: run.run, stage: stage.name, index: '0', attempt: String(attempt) };
    const options = { deadlineMs: stage.timeoutMs ?? 30_000, headers };
    const payload = run.value;
    this.#services.call(this.#caller(run, attempt), [MessageType.CALL, 1, stage.service, stage.method, options, payload]);
  }

  /** What the answers to a step's CALL go to. */
  #caller(run: Run, attempt: number): Peer {
    const known = this.#callers.get(`${run.run}/${run.stageIndex}/${attempt}`);
    if (known !== undefined) return known;
    const stage = run.definition.stages[run.stageIndex]?.name;
    const caller: Peer = {
      name: '$lane-0',
      say: ([type, , ...rest]) => {
        if (run.attempt !== attempt || (run.state !== 'running' && run.state !== 'paused')) return;
        if (type === MessageType.RESULT && rest[0] === false) {
          run.value = rest[1];
          run.stageIndex++;
          this.#tell(run, { kind: 'stepSucceeded', stage, index: 0, attempt });
          this.#tell(run, { kind: 'stageSucceeded', stage });
          this.#next(run);
        } else if (type === MessageType.ERROR) {
          run.state = 'failed';
          run.reason = { code: 'SERVICE_ERROR', text: rest[1] as string };
          this.#tell(run, { kind: 'stepFailed', stage, index: 0, attempt, reason: run.reason });
          this.#tell(run, { kind: 'failed', reason: run.reason, stage });
          this.#tell(run, { kind: 'deadLettered' });
        }
      },
    };
    this.#callers.set(`${run.run}/${run.stageIndex}/${attempt}`, caller);
    return caller;
  }

  readonly #callers = new Map<string, Peer>();

  #tell({ topic }: Run, event: object): void {
    this.#topics.publishOwn(topic, { ...event, atMs: 0 });
  }
}

function statusOf({ run, workflow, definition, state, reason }: Run): object {
  const hasEnded = state === 'succeeded' || state === 'failed' || state === 'cancelled';
  return {
    run,
    workflow,
    version: definition.version,
    state,
    ...(reason === null ? {} : { reason }),
    ...(hasEnded ? { endedAtMs: 0 } : {}),
  };
}
