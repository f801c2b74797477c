/** What the front counts. Plain numbers on the front's thread; read at scrape. Every bound of FrontOptions has its counter here. */
export class FrontMetrics {
  connectionsOpened = 0;
  connectionsClosed = 0;
  /** Refused before the upgrade, by reason. */
  connectionsRefusedLimit = 0;
  connectionsRefusedRate = 0;
  connectionsRefusedDraining = 0;
  connectionsRefusedLoad = 0;
  connectionsRefusedAddressLimit = 0;
  connectionsRefusedAddressRate = 0;
  /** After the upgrade, when they have said who they are: closed with 4101, 4102. */
  connectionsRefusedSubjectLimit = 0;
  connectionsRefusedSubjectRate = 0;
  connectionsRefusedAudit = 0;
  messagesReceived = 0;
  bytesReceived = 0;
  messagesMalformed = 0;
  /** Connections closed with 1009. */
  messagesOversized = 0;
  commandsForwarded = 0;
  /** Ring full or lane away: answered OVERLOADED. */
  laneIngressFull = 0;
  commandsLost = 0;
  subscriptionsRefused = 0;
  /** CALLs answered LIMIT: callsPendingMax. */
  callsRefused = 0;
  /** SUBSCRIBEs answered LIMIT: subjectSubscriptionsMax. */
  subjectSubscriptionsRefused = 0;
  /** Answered RATE_LIMITED. */
  commandsRateLimited = 0;
  /** Answered OVERLOADED because of the load level. */
  commandsShed = 0;
  /** WebSocket messages of which something had to wait for a later turn. */
  messagesDeferred = 0;
  /** Connections closed with 4102: refused too often, too much waiting. */
  rateLimitedDisconnected = 0;
  floodsDisconnected = 0;
  /** Connections closed with 4500: malformedMax. */
  malformedDisconnected = 0;
  idlePeersForgotten = 0;
  errorsSent = 0;
  /** MESSAGEs and EVENTs handed to connections or their queues. */
  deliveries = 0;
  framesSent = 0;
  framesMerged = 0;
  bytesSent = 0;
  helloTimeouts = 0;
  pongTimeouts = 0;
  slowConsumersDisconnected = 0;
  sessionsCongested = 0;
  lanesReplaced = 0;
  sessionsAuthenticated = 0;
  authenticationsFailed = 0;
  refreshes = 0;
  refreshesRefused = 0;
  /** Commands answered TOKEN_EXPIRED. */
  commandsExpired = 0;
  /** Connections closed with 4501 when their token's grace time was over. */
  sessionsExpired = 0;
  /** Connections closed with 4505. */
  sessionsRevoked = 0;
  /** FORBIDDEN for want of a right, judged by the front: patterns, queries, HTTP. */
  denied = 0;
  /** Connections closed with 4102: heldBytesMax. */
  heldOverflows = 0;
}

/** How many topics the ledger names; what comes after is counted under OTHER_TOPICS. */
const LEDGER_TOPICS_MAX = 1_000;
export const OTHER_TOPICS = '(other)';

export const DROP_REASONS = ['dropOldest', 'dropNewest', 'conflate', 'disconnect', 'closed'] as const;
/** `disconnect`: waited when a slow consumer was closed; `closed`: waited when the connection was lost. Both may be recovered. */
export type DropReason = (typeof DROP_REASONS)[number];

/** Every message that was meant for a subscriber and was not handed to its socket: counted by reason and topic, never silent. */
export class DropLedger {
  readonly byReason: Record<DropReason, number> = { dropOldest: 0, dropNewest: 0, conflate: 0, disconnect: 0, closed: 0 };
  readonly #byTopic = new Map<string, number>();

  add(reason: DropReason, topic: string, count = 1): void {
    this.byReason[reason] += count;
    const known = this.#byTopic.has(topic) || this.#byTopic.size < LEDGER_TOPICS_MAX;
    const name = known ? topic : OTHER_TOPICS;
    this.#byTopic.set(name, (this.#byTopic.get(name) ?? 0) + count);
  }

  /** The topics with most drops. */
  top(count: number): readonly (readonly [topic: string, dropped: number])[] {
    return [...this.#byTopic].sort((a, b) => b[1] - a[1]).slice(0, count);
  }
}
