/** A lane rig with words for queue groups: who was given what, and what the members were told. */
import { packMessage } from '../../../../src/protocol/codec.ts';
import { IngressKind, withNumbers } from '../../../../src/protocol/records.ts';
import { LaneRig, type Out } from '../lane-rig.ts';

export const TOPIC = 'jobs';
export const ACK = 18;

export class GroupRig extends LaneRig {
  /** The OK of a SUBSCRIBE, and what the new member is given at once. */
  join(session: number, options: object = {}, topic = TOPIC): { readonly reply: Record<string, unknown>; readonly outs: Out[] } {
    const outs = this.command(session, [3, 1, topic, { group: 'g', ...options }]);
    const join = outs.findIndex(({ kind }) => kind === 'join');
    if (join < 0) throw new Error(`not joined: ${JSON.stringify(outs)}`);
    return { reply: outs[join]?.message?.[2], outs: outs.slice(join + 1) };
  }

  /** With ack. */
  work(session: number, options: object = {}, topic = TOPIC): Out[] {
    return this.join(session, { ack: true, ...options }, topic).outs;
  }

  ack(session: number, options: number | object, topic = TOPIC): Out[] {
    return this.command(session, [ACK, 9, topic, typeof options === 'number' ? { offset: options } : options]);
  }

  say(...payloads: unknown[]): Out[] {
    return payloads.flatMap((payload) => this.publish(TOPIC, payload));
  }

  /** The answer of another lane, or of the front, to what this lane has asked. */
  reply([type, id, ...rest]: unknown[]): Out[] {
    return this.record(IngressKind.REPLY, withNumbers(0, 0, packMessage(type as number, id as number, ...rest)));
  }
}

/** `session:offset` of what was given out, `session:offset#attempt` from the second attempt on. */
export function given(outs: readonly Out[]): string[] {
  return outs
    .filter(({ kind }) => kind === 'deliver')
    .map(({ session, message }) => {
      const attempt = message?.[4]?.attempt;
      return `${session}:${message?.[3]}${attempt > 1 ? `#${attempt}` : ''}`;
    });
}

/** `session:kind from-to reason` of the EVENTs for single sessions. */
export function told(outs: readonly Out[]): string[] {
  return outs
    .filter(({ kind, message }) => kind === 'send' && message?.[0] === 35)
    .map(({ session, message }) => `${session}:${message?.[3]} ${message?.[4].from}-${message?.[4].to} ${message?.[4].reason}`);
}

/** Code or `ok` of the answer. */
export function answer(outs: readonly Out[]): number | 'ok' | undefined {
  const reply = outs.find(({ message }) => message?.[0] === 32 || message?.[0] === 33)?.message;
  return reply?.[0] === 32 ? 'ok' : reply?.[2];
}
