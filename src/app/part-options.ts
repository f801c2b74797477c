/** What each part of the relay is told, cut from the one RelayConfig: parts know their own options and nothing of the others'. */
import type { FrontOptions } from '../front/front-options.ts';
import type { HttpGatewayOptions } from '../front/http-gateway.ts';
import type { LaneOptions } from '../lane/lane-options.ts';
import { MESSAGE_HEAD_BYTES_MAX, type RelayConfig } from './config-table.ts';
import { limitOptions } from './limit-options.ts';

export function frontOptions(config: RelayConfig): FrontOptions {
  return {
    connectionsMax: config.connectionsMax,
    connectRatePerSecond: config.connectRatePerSecond,
    sendQueueBytesMax: config.sendQueueBytesMax,
    mergedFrameBytesMax: config.mergedFrameBytesMax,
    messageBytesMax: config.messageBytesMax,
    payloadBytesMax: config.payloadBytesMax,
    subscriptionsMax: config.subscriptionsMax,
    callsPendingMax: config.callsPendingMax,
    presenceBytesMax: config.presenceBytesMax,
    helloTimeoutMs: config.helloTimeoutMs,
    heldBytesMax: config.heldBytesMax,
    tokenGraceMs: config.tokenGraceMs,
    pingIntervalMs: config.pingIntervalMs,
    pongTimeoutMs: config.pongTimeoutMs,
    closeTimeoutMs: config.closeTimeoutMs,
    reconnectJitterMs: config.reconnectJitterMs,
    retryAfterMs: config.retryAfterMs,
    limits: limitOptions(config),
  };
}

/** `place`: what differs from lane to lane, and from one life of a lane to the next. */
export function laneOptions(
  config: RelayConfig,
  place: Pick<LaneOptions, 'index' | 'laneCount' | 'seed' | 'firstSub' | 'life'>,
): LaneOptions {
  return {
    index: place.index,
    laneCount: place.laneCount,
    seed: place.seed,
    firstSub: place.firstSub,
    life: place.life,
    // The first rule carries payloadBytesMax to every topic: the lane's own default knows nothing of it, and later rules can only say less.
    topicRules: [{ match: '>', maxPayloadBytes: config.payloadBytesMax }, ...config.topics],
    topicsMax: config.topicsMax,
    topicIdleMs: config.topicIdleMs,
    historyBytesMax: config.historyBytesMax,
    historyLimitDefault: config.historyLimitDefault,
    historyLimitMax: config.historyLimitMax,
    recoveryMessagesMax: config.recoveryMessagesMax,
    recoveryBytesMax: config.recoveryBytesMax,
    dedupWindowMs: config.dedupWindowMs,
    dedupKeysMax: config.dedupKeysMax,
    presenceGraceMs: config.presenceGraceMs,
    presenceMembersMax: config.presenceMembersMax,
    presenceBytesMax: config.presenceBytesMax,
    groups: { groupsPerTopicMax: config.groupsPerTopicMax, groupPendingMax: config.groupPendingMax },
    services: {
      rules: config.services,
      instancesMax: config.instancesMax,
      callsMax: config.callsMax,
      callsPendingMax: config.callsPendingMax,
      payloadBytesMax: config.payloadBytesMax,
      callDeadlineMsDefault: config.callDeadlineMsDefault,
      callDeadlineMsMax: config.callDeadlineMsMax,
      connectionLeaseMs: config.pingIntervalMs + config.pongTimeoutMs,
      retryAfterMs: config.retryAfterMs,
    },
    workflows: {
      definitions: config.workflows,
      definitionsMax: config.workflowDefinitionsMax,
      runsInFlightMax: config.runsInFlightMax,
      runsEndedMax: config.runsEndedMax,
      runBytesMax: config.runBytesMax,
      stepsMax: config.stepsMax,
      runEventsMax: config.runEventsMax,
      stepsInFlightMax: config.stepsInFlightMax,
      messageBytesMax: config.messageBytesMax,
      partBytesMax: config.messageBytesMax - MESSAGE_HEAD_BYTES_MAX,
      timeoutMsMax: config.callDeadlineMsMax,
      retryAfterMs: config.retryAfterMs,
    },
  };
}

export function httpOptions(config: RelayConfig): HttpGatewayOptions {
  return {
    httpRequestTimeoutMs: config.httpRequestTimeoutMs,
    httpPendingMax: config.httpPendingMax,
    httpBatchMessagesMax: config.httpBatchMessagesMax,
    httpBodyBytesMax: config.httpBodyBytesMax,
  };
}
