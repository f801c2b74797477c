/**
 * Every message type of the wire protocol: number, name, arity, who sends it, whether a routing key follows the id.
 *
 * This table is the contract in code form: the header reader, the fuzzers, the golden frames and docs/protocol.md
 * are all held against it. Numbers are never reused or renumbered.
 */

export const PROTOCOL_VERSION = 1;
export const SUBPROTOCOL = 'relay.v1';
export const CONNECT_PATH = '/v1/connect';

export const MessageType = {
  HELLO: 1,
  PUBLISH: 2,
  SUBSCRIBE: 3,
  UNSUBSCRIBE: 4,
  CALL: 5,
  CANCEL: 6,
  RETURN: 7,
  REGISTER: 8,
  DEREGISTER: 9,
  HISTORY: 10,
  PRESENCE: 11,
  START: 12,
  RUN: 13,
  PING: 14,
  REFRESH: 15,
  HEARTBEAT: 16,
  CREDIT: 17,
  ACK: 18,
  SERVICES: 19,
  DEFINE: 20,
  OK: 32,
  ERROR: 33,
  MESSAGE: 34,
  EVENT: 35,
  INVOKE: 36,
  RESULT: 37,
  CANCELLED: 38,
  GOAWAY: 39,
  CREDITED: 40,
} as const;
export type MessageTypeName = keyof typeof MessageType;

export interface MessageSpec {
  readonly type: number;
  readonly name: MessageTypeName;
  /** Elements of the array, the type included. */
  readonly arity: number;
  readonly sender: 'client' | 'relay';
  /** What stands third: the name that decides which lane handles the message, or nothing of that kind. */
  readonly key: 'none' | 'topic' | 'pattern' | 'service' | 'workflow';
  /** Second element is an id (GOAWAY alone has none). MESSAGE and EVENT carry the subscription's number there. */
  readonly hasId: boolean;
  /** Elements that the header reader consumes: type, id, key, as far as the type has them. */
  readonly headElements: number;
}

// The annotations let a bundler leave the table out where nobody reads it, as the SDK's build does.
/* @__NO_SIDE_EFFECTS__ */
function spec(name: MessageTypeName, arity: number, sender: MessageSpec['sender'], key: MessageSpec['key']): MessageSpec {
  const hasId = name !== 'GOAWAY';
  const headElements = 1 + (hasId ? 1 : 0) + (key === 'none' ? 0 : 1);
  return { type: MessageType[name], name, arity, sender, key, hasId, headElements };
}

export const MESSAGE_SPECS: readonly MessageSpec[] = [
  spec('HELLO', 3, 'client', 'none'),
  spec('PUBLISH', 5, 'client', 'topic'),
  spec('SUBSCRIBE', 4, 'client', 'pattern'),
  spec('UNSUBSCRIBE', 3, 'client', 'pattern'),
  spec('CALL', 6, 'client', 'service'),
  spec('CANCEL', 4, 'client', 'service'),
  spec('RETURN', 4, 'client', 'none'),
  spec('REGISTER', 4, 'client', 'service'),
  spec('DEREGISTER', 3, 'client', 'service'),
  spec('HISTORY', 4, 'client', 'topic'),
  spec('PRESENCE', 4, 'client', 'topic'),
  spec('START', 5, 'client', 'workflow'),
  spec('RUN', 4, 'client', 'workflow'),
  spec('PING', 2, 'client', 'none'),
  spec('REFRESH', 3, 'client', 'none'),
  spec('HEARTBEAT', 4, 'client', 'service'),
  spec('CREDIT', 5, 'client', 'service'),
  spec('ACK', 4, 'client', 'topic'),
  spec('SERVICES', 4, 'client', 'pattern'),
  spec('DEFINE', 5, 'client', 'workflow'),
  spec('OK', 3, 'relay', 'none'),
  spec('ERROR', 5, 'relay', 'none'),
  spec('MESSAGE', 6, 'relay', 'none'),
  spec('EVENT', 5, 'relay', 'none'),
  spec('INVOKE', 6, 'relay', 'none'),
  spec('RESULT', 4, 'relay', 'none'),
  spec('CANCELLED', 2, 'relay', 'none'),
  spec('GOAWAY', 2, 'relay', 'none'),
  spec('CREDITED', 3, 'relay', 'none'),
];

/** By type number; `undefined` where no such type exists. Types are positive fixints, so 128 slots hold all there can be. */
export const SPEC_BY_TYPE: readonly (MessageSpec | undefined)[] = /* @__PURE__ */ Array.from({ length: 128 }, (_, type) =>
  MESSAGE_SPECS.find((candidate) => candidate.type === type),
);

/** Where a subscriber stands in a topic's stream: the last offset it has processed, inside an epoch. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

export const SLOW_CONSUMER_POLICIES = ['disconnect', 'dropOldest', 'dropNewest', 'conflate', 'pause'] as const;
/** What happens to a subscription whose client reads more slowly than the topic is published to. */
export type SlowConsumerPolicy = (typeof SLOW_CONSUMER_POLICIES)[number];

export const RECOVERY_REASONS = ['NO_HISTORY', 'EPOCH_CHANGED', 'EVICTED', 'TOO_MANY', 'OFFSET_AHEAD', 'FORBIDDEN'] as const;
/** Why a subscription with `since` could not be recovered. */
export type RecoveryReason = (typeof RECOVERY_REASONS)[number];

export const EVENT_KINDS = ['join', 'leave', 'update', 'skip', 'lagged', 'lost'] as const;
export type EventKind = (typeof EVENT_KINDS)[number];
