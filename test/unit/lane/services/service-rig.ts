/**
 * A lane with instances and callers: commands by name, and what came out of them by who got it.
 */
import type { LaneOptions } from '../../../../src/lane/lane-options.ts';
import type { ServiceRule } from '../../../../src/lane/services/service-config.ts';
import type { ServiceOptions } from '../../../../src/lane/services/service-options.ts';
import { pack, packMessage } from '../../../../src/protocol/codec.ts';
import { commandRecord, IngressKind, SendFlag, withNumbers } from '../../../../src/protocol/records.ts';
import { LANE_DEFAULTS } from '../../../support/options.ts';
import { LaneRig, type Out } from '../lane-rig.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of every shape.
export type Message = any[];

export const CALLER = 900;
/** Watches `$service.>`. */
const WATCHER = 999;
const WATCHED_SUB = 5;

export interface ServiceRigOptions {
  readonly rules?: readonly ServiceRule[];
  readonly services?: Partial<ServiceOptions>;
  readonly lane?: Partial<LaneOptions>;
}

export class ServiceRig {
  readonly lane: LaneRig;
  /** Everything so far. */
  readonly outs: Out[] = [];
  #nextId = 1;

  constructor({ rules = [], services = {}, lane = {} }: ServiceRigOptions = {}) {
    this.lane = new LaneRig({ ...lane, services: { ...LANE_DEFAULTS.services, ...services, rules } });
    this.lane.patternCommand(WATCHER, WATCHED_SUB, [3, 1, '$service.>', null]);
  }

  nextId(): number {
    return this.#nextId++;
  }

  say(session: number, message: Message): Out[] {
    return this.note(this.lane.command(session, message));
  }

  note(outs: Out[]): Out[] {
    this.outs.push(...outs);
    return outs;
  }

  wait(ms: number): Out[] {
    return this.note(this.lane.wait(ms));
  }

  close(session: number): Out[] {
    return this.note(this.lane.close(session, true));
  }

  /** The id that the instance was given. */
  register(session: number, options: object = {}, service = 'math'): string {
    const id = this.nextId();
    const outs = this.say(session, [8, id, service, { version: '1.0.0', methods: ['add'], ...options }]);
    const reply = messagesTo(outs, session).find((message) => message[1] === id && message[0] !== 36);
    if (reply?.[0] !== 32) throw new Error(`not registered: ${JSON.stringify(reply)}`);
    return reply[2].instance;
  }

  /** The id of the call. */
  call(
    options: object | null = null,
    { session = CALLER, service = 'math', method = 'add', payload = null as unknown } = {},
  ): number {
    const id = this.nextId();
    this.say(session, [5, id, service, method, options, payload]);
    return id;
  }

  /** Session and number of every INVOKE so far. */
  get invokes(): { session: number; callId: number; options: Record<string, unknown>; payload: unknown; message: Message }[] {
    return this.outs
      .filter(({ kind, message }) => kind === 'send' && message?.[0] === 36)
      .map(({ session, message }) => {
        const [, callId, , , options, payload] = message as Message;
        return { session, callId, options, payload, message: message as Message };
      });
  }

  get lastInvoke(): ServiceRig['invokes'][number] {
    const invoke = this.invokes.at(-1);
    if (invoke === undefined) throw new Error('nothing was given to any instance');
    return invoke;
  }

  /** The instance of the newest call answers it. */
  answer(payload: unknown = 'done', options: object | null = null, { session, callId } = this.lastInvoke): Out[] {
    // packMessage: numbers of calls grow beyond 32 bits.
    return this.note(this.lane.bytes(session, packMessage(7, callId, options, payload)));
  }

  /** Everything the session was told. */
  told(session: number): Message[] {
    return messagesTo(this.outs, session);
  }

  /** What the caller got for this id. */
  answers(id: number, session = CALLER): Message[] {
    return this.told(session).filter((message) => message[1] === id);
  }

  /** Last answers, as the front counts them. */
  doneCount(id: number, session = CALLER): number {
    return this.outs.filter((out) => out.session === session && out.message?.[1] === id && (out.flags & SendFlag.CALL_DONE) !== 0)
      .length;
  }

  /** What was published on `$service.>`. */
  get events(): Record<string, unknown>[] {
    return this.outs
      .filter(({ kind, sub, message }) => kind === 'fanout' && sub === WATCHED_SUB && message?.[0] === 34)
      .map(({ message }) => (message as Message)[5]);
  }

  /** SERVICES. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into reports of every shape.
  services(pattern = '>', options: object | null = { instances: true }): any[] {
    this.lane.open(CALLER);
    const [answer] = this.lane.record(IngressKind.QUERY, commandRecord(CALLER, 77, 0, pack([19, 1, pattern, options])));
    return answer?.message as unknown[];
  }

  metric(name: Parameters<LaneRig['metric']>[0]): number {
    this.lane.advance(0);
    return this.lane.metric(name);
  }
}

export function messagesTo(outs: readonly Out[], session: number): Message[] {
  return outs.filter((out) => out.kind === 'send' && out.session === session).map(({ message }) => message as Message);
}

/** REGISTERED records as a front would give them back to a new lane. */
export function restoreInstances(from: ServiceRig, into: ServiceRig): void {
  const kept = new Map<number, Out>();
  for (const out of from.outs) {
    if (out.kind === 'registered') kept.set(out.sub, out);
    if (out.kind === 'unregistered') kept.delete(out.sub);
  }
  for (const { session, sub, frame } of kept.values()) {
    into.lane.open(session);
    into.note(into.lane.record(IngressKind.RESTORE_INSTANCE, withNumbers(session, sub, frame)));
  }
  into.note(into.lane.restoreEnd());
}
