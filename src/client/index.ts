/**
 * The SDK's public face: `createClient`, and the types and codes that its users meet. docs/client.md is the guide.
 */
export { CLOSE_ADVICE as CLOSE_CODES, WIRE_ERRORS, type WireErrorName } from '../protocol/codes.ts';
export { type ErrorFacts, RelayError } from '../protocol/errors.ts';
export type { Position, RecoveryReason, SlowConsumerPolicy } from '../protocol/types.ts';
export {
  type Client,
  type ClientEvents,
  type ClientState,
  createClient,
  type HistoryOptions,
  type HistoryPage,
  type Presence,
} from './client.ts';
export type { Limits } from './connection.ts';
export type { ContinuityLoss } from './cursor.ts';
export { Extension } from './msgpack.ts';
export type {
  BufferOptions,
  BufferPolicy,
  ClientOptions,
  Message,
  PublishOptions,
  QueueOptions,
  QueuePolicy,
  ReconnectOptions,
  SubscribeOptions,
} from './options.ts';
export type { PublishResult, QueueDrop } from './outbox.ts';
export type { Timers, WebSocketConstructor, WebSocketLike } from './platform.ts';
export type { RequestOptions } from './requests.ts';
export type {
  PresenceChange,
  SkipNotice,
  Subscribed,
  Subscription,
  SubscriptionEvents,
  SubscriptionState,
} from './subscription.ts';
export type { TokenProblem } from './tokens.ts';
