/**
 * Limits on clients: how often a connection, a subject and an address may do what, how many connections they may have, and what offences add up to.
 *
 * Thread: front only. Judges and counts; whoever asks answers and closes. Sessions of the relay itself (lanes' agents, the HTTP gateway, the probe) are never
 * judged; HTTP requests are, under their own subject and address. docs/limits.md says which command counts as what.
 */
import { MessageType } from '../../protocol/types.ts';
import type { FrontMetrics } from '../front-metrics.ts';
import { ANONYMOUS } from '../ports.ts';
import type { Session } from '../session.ts';
import { addressKey } from './address-key.ts';
import type { LimitOptions } from './limit-options.ts';
import { LoadShedding } from './load-shedding.ts';
import { type Peer, PeerBook } from './peer-book.ts';
import { type RateLimit, type RateScope, rateKindOf, rateLimitsOf } from './rate-rules.ts';
import { SessionLimits } from './session-limits.ts';
import { TokenBuckets } from './token-buckets.ts';

export interface RateRefusal {
  /** `connection.publish` */
  readonly limit: string;
  readonly retryAfterMs: number;
  /** The command is one that is never refused and has used up its credit: an offence, but it is handled. */
  readonly isOnCredit: boolean;
}

/** Why a connection is not wanted. */
export interface ConnectRefusal {
  readonly reason: string;
  readonly retryAfterMs: number;
  readonly limit: string;
  /** It comes too soon; otherwise there are too many. */
  readonly isRate: boolean;
}

/** A full address or subject empties when somebody leaves: no telling when. */
const FULL_RETRY_AFTER_MS = 5_000;

/** A client that is refused these is worse off than before, and so is the relay: see docs/limits.md. */
const NEVER_REFUSED: ReadonlySet<number> = new Set([
  MessageType.PING,
  MessageType.UNSUBSCRIBE,
  MessageType.DEREGISTER,
  MessageType.CANCEL,
  MessageType.CREDIT,
  MessageType.REFRESH,
]);

/** One bucket that a command is charged to. */
interface Charge {
  readonly column: number;
  /** By the bytes of the command; otherwise 1. */
  readonly isBytes: boolean;
}

const NO_CHARGES: readonly Charge[] = [];

/** The limits of one scope: a column of buckets each. */
class ScopeRates {
  readonly limits: readonly RateLimit[];
  readonly buckets: TokenBuckets;
  /** -1: connects are not limited. */
  readonly connectColumn: number;
  readonly #chargesByType: readonly (readonly Charge[])[];

  constructor(scope: RateScope, limits: readonly RateLimit[]) {
    this.limits = limits.filter((limit) => limit.scope === scope);
    this.buckets = new TokenBuckets(this.limits);
    this.connectColumn = this.limits.findIndex(({ what }) => what === 'connect');
    this.#chargesByType = Array.from({ length: 128 }, (_, type) => {
      const kinds = ['command', 'bytes', rateKindOf(type)];
      const charges = this.limits.flatMap(({ what }, column) =>
        kinds.includes(what) ? [{ column, isBytes: what === 'bytes' }] : [],
      );
      return charges.length === 0 ? NO_CHARGES : charges;
    });
  }

  get isUsed(): boolean {
    return this.limits.length > 0;
  }

  chargesOf(type: number): readonly Charge[] {
    return this.#chargesByType[type] ?? NO_CHARGES;
  }
}

export class FrontLimits {
  readonly options: LimitOptions;
  readonly load: LoadShedding;
  /** By limit: commands that were refused for it. */
  readonly refusedByLimit = new Map<string, number>();
  readonly #metrics: FrontMetrics;
  readonly #connection: ScopeRates;
  readonly #subject: ScopeRates;
  readonly #address: ScopeRates;
  readonly #subjects: PeerBook;
  readonly #addresses: PeerBook;
  /** Something is to be known of every session. */
  readonly #isActive: boolean;
  /** Of the judgement under way: the bucket whose wait is the longest. */
  #worstMs = 0;
  #worstRates: ScopeRates | null = null;
  #worstRow = 0;
  #worstCharge: Charge | null = null;

  constructor(options: LimitOptions, messageBytesMax: number, metrics: FrontMetrics, nowMs: number) {
    this.options = options;
    this.#metrics = metrics;
    this.load = new LoadShedding(options.shedding, nowMs);
    const limits = rateLimitsOf(options.rateLimits, messageBytesMax);
    for (const { name } of limits) this.refusedByLimit.set(name, 0);
    this.#connection = new ScopeRates('connection', limits);
    this.#subject = new ScopeRates('subject', limits);
    this.#address = new ScopeRates('address', limits);
    const onForgotten = (): void => void metrics.idlePeersForgotten++;
    this.#subjects = new PeerBook(this.#subject.buckets, options.idlePeersMax, onForgotten);
    this.#addresses = new PeerBook(this.#address.buckets, options.idlePeersMax, onForgotten);
    const { subjectSubscriptionsMax, subjectConnectionsMax } = options;
    this.#isActive = limits.length > 0 || this.usesAddress || subjectSubscriptionsMax > 0 || subjectConnectionsMax > 0;
  }

  /** Rates are configured: somebody must read the clock per message. */
  get usesRates(): boolean {
    return this.refusedByLimit.size > 0;
  }

  /** Connections are counted by address: whoever admits must know it. */
  get usesAddress(): boolean {
    return this.#address.isUsed || this.options.addressConnectionsMax > 0;
  }

  /** Subjects and addresses that are known. */
  get peerCount(): number {
    return this.#subjects.count + this.#addresses.count;
  }

  // ---- connections

  /** Before the upgrade. Null: the address may have one more connection; `connecting` is said when it gets it. */
  connectRefusal(address: string, nowMs: number): ConnectRefusal | null {
    if (!this.usesAddress) return null;
    const key = addressKey(address);
    const { addressConnectionsMax } = this.options;
    if (addressConnectionsMax > 0 && this.#addresses.connectionsOf(key) >= addressConnectionsMax) {
      this.#metrics.connectionsRefusedAddressLimit++;
      return full('addressConnectionsMax', addressConnectionsMax);
    }
    const refusal = this.#connectRateRefusal(this.#address, this.#addresses, key, nowMs);
    if (refusal !== null) this.#metrics.connectionsRefusedAddressRate++;
    return refusal;
  }

  /** The address gets its connection. */
  connecting(address: string, nowMs: number): void {
    if (this.#address.connectColumn < 0) return;
    this.#address.buckets.spend(this.#addresses.visit(addressKey(address), nowMs).row, this.#address.connectColumn, 1);
  }

  opened(session: Session, nowMs: number): void {
    if (!this.#isActive) return;
    const limits = new SessionLimits();
    session.limits = limits;
    if (this.#connection.isUsed) limits.row = this.#connection.buckets.open(nowMs);
    if (this.usesAddress) limits.address = this.#addresses.enter(addressKey(session.connection.remoteAddress), nowMs);
  }

  /** The session has proven who it is. Null: its subject may have one more connection. Otherwise it is to be closed. */
  identified(session: Session, subject: string, nowMs: number): ConnectRefusal | null {
    // They are many, and nobody's fault is another's: their limits are those of connection and address.
    if (subject === ANONYMOUS) return null;
    const { limits } = session;
    const { subjectConnectionsMax, subjectSubscriptionsMax } = this.options;
    if (limits === null || limits.subject !== null) return null;
    if (!this.#subject.isUsed && subjectConnectionsMax === 0 && subjectSubscriptionsMax === 0) return null;
    if (subjectConnectionsMax > 0 && this.#subjects.connectionsOf(subject) >= subjectConnectionsMax) {
      this.#metrics.connectionsRefusedSubjectLimit++;
      return full('subjectConnectionsMax', subjectConnectionsMax);
    }
    const refusal = this.#connectRateRefusal(this.#subject, this.#subjects, subject, nowMs);
    if (refusal !== null) {
      this.#metrics.connectionsRefusedSubjectRate++;
      return refusal;
    }
    limits.subject = this.#subjects.enter(subject, nowMs);
    if (this.#subject.connectColumn >= 0) this.#subject.buckets.spend(limits.subject.row, this.#subject.connectColumn, 1);
    return null;
  }

  /** Its members are out of the hub. */
  closed(session: Session, nowMs: number): void {
    const { limits } = session;
    if (limits === null) return;
    session.limits = null;
    limits.countSubscriptions(-session.subscribesPending); // Nobody waits for their answers any more.
    if (limits.row >= 0) this.#connection.buckets.close(limits.row);
    if (limits.address !== null) this.#addresses.leave(limits.address, nowMs);
    if (limits.subject !== null) this.#subjects.leave(limits.subject, nowMs);
  }

  /** A few times a second. */
  tick(nowMs: number): void {
    this.#subjects.tick(nowMs);
    this.#addresses.tick(nowMs);
  }

  #connectRateRefusal(rates: ScopeRates, book: PeerBook, key: string, nowMs: number): ConnectRefusal | null {
    const { connectColumn, buckets, limits } = rates;
    if (connectColumn < 0) return null;
    const { row } = book.visit(key, nowMs);
    if (buckets.waitMs(row, connectColumn, 1, nowMs) === 0) return null;
    const { name, perSecond } = limits[connectColumn] as RateLimit;
    const retryAfterMs = buckets.retryAfterMs(row, connectColumn, 1, nowMs);
    this.#count(name);
    return { reason: `connect rate reached: ${name} perSecond=${perSecond}`, retryAfterMs, limit: name, isRate: true };
  }

  // ---- commands

  /** Hot where rates are configured. Null: the command is within them, and paid. */
  refusalOf(session: Session, type: number, bytes: number, nowMs: number): RateRefusal | null {
    const { limits } = session;
    if (limits === null) return null;
    switch (type) {
      case MessageType.RETURN:
      case MessageType.HEARTBEAT:
        // Asked for by the relay: as many as it has given out work, or less.
        if (limits.hasServed) return null;
        break;
      case MessageType.ACK:
        if (limits.hasJoinedGroup) return null;
        break;
    }
    if (NEVER_REFUSED.has(type)) return this.#overdraw(limits, type, bytes, nowMs);
    return this.#take(limits.row, limits.subject, limits.address, type, bytes, nowMs);
  }

  /** A command that came by HTTP. `subject` null: nobody in particular. */
  refusalOfRequest(subject: string | null, address: string, type: number, bytes: number, nowMs: number): RateRefusal | null {
    const isSomebody = subject !== null && subject !== ANONYMOUS && this.#subject.isUsed;
    const ofSubject = isSomebody ? this.#subjects.visit(subject, nowMs) : null;
    const ofAddress = this.#address.isUsed ? this.#addresses.visit(addressKey(address), nowMs) : null;
    return this.#take(-1, ofSubject, ofAddress, type, bytes, nowMs);
  }

  /** All buckets or none: looks first, then pays. */
  #take(row: number, subject: Peer | null, address: Peer | null, type: number, bytes: number, nowMs: number): RateRefusal | null {
    this.#worstMs = 0;
    if (row >= 0) this.#look(this.#connection, row, type, bytes, nowMs);
    if (subject !== null) this.#look(this.#subject, subject.row, type, bytes, nowMs);
    if (address !== null) this.#look(this.#address, address.row, type, bytes, nowMs);
    if (this.#worstMs > 0) return this.#refuse(bytes, nowMs);
    if (row >= 0) pay(this.#connection, row, type, bytes);
    if (subject !== null) pay(this.#subject, subject.row, type, bytes);
    if (address !== null) pay(this.#address, address.row, type, bytes);
    return null;
  }

  #look(rates: ScopeRates, row: number, type: number, bytes: number, nowMs: number): void {
    const charges = rates.chargesOf(type);
    for (let index = 0; index < charges.length; index++) {
      const charge = charges[index] as Charge;
      const waitMs = rates.buckets.waitMs(row, charge.column, charge.isBytes ? bytes : 1, nowMs);
      if (waitMs <= this.#worstMs) continue;
      this.#worstMs = waitMs;
      this.#worstRates = rates;
      this.#worstRow = row;
      this.#worstCharge = charge;
    }
  }

  #refuse(bytes: number, nowMs: number): RateRefusal {
    const { buckets, limits } = this.#worstRates as ScopeRates;
    const { column, isBytes } = this.#worstCharge as Charge;
    const { name } = limits[column] as RateLimit;
    this.#count(name);
    this.#metrics.commandsRateLimited++;
    const retryAfterMs = buckets.retryAfterMs(this.#worstRow, column, isBytes ? bytes : 1, nowMs);
    return { limit: name, retryAfterMs, isOnCredit: false };
  }

  #overdraw(limits: SessionLimits, type: number, bytes: number, nowMs: number): RateRefusal | null {
    let broken: RateRefusal | null = null;
    const draw = (rates: ScopeRates, row: number): void => {
      for (const { column, isBytes } of rates.chargesOf(type)) {
        if (rates.buckets.overdraw(row, column, isBytes ? bytes : 1, nowMs)) continue;
        const { name } = rates.limits[column] as RateLimit;
        this.#count(name);
        broken = { limit: name, retryAfterMs: Math.ceil(rates.buckets.waitMs(row, column, 1, nowMs)), isOnCredit: true };
      }
    };
    if (limits.row >= 0) draw(this.#connection, limits.row);
    if (limits.subject !== null) draw(this.#subject, limits.subject.row);
    if (limits.address !== null) draw(this.#address, limits.address.row);
    return broken;
  }

  #count(limit: string): void {
    this.refusedByLimit.set(limit, (this.refusedByLimit.get(limit) ?? 0) + 1);
  }

  // ---- offences

  /** One more refusal. True: that is one too many within the window. */
  isOneTooManyRefused(session: Session, nowMs: number): boolean {
    const limits = (session.limits ??= new SessionLimits());
    limits.renewWindow(nowMs, this.options.offencesWindowMs);
    return ++limits.refusals > this.options.refusalsMax;
  }

  /** One more message that is none of the protocol. True: that is one too many within the window. */
  isOneTooManyMalformed(session: Session, nowMs: number): boolean {
    const limits = (session.limits ??= new SessionLimits());
    limits.renewWindow(nowMs, this.options.offencesWindowMs);
    return ++limits.malformed > this.options.malformedMax;
  }
}

function pay(rates: ScopeRates, row: number, type: number, bytes: number): void {
  const charges = rates.chargesOf(type);
  for (let index = 0; index < charges.length; index++) {
    const { column, isBytes } = charges[index] as Charge;
    rates.buckets.spend(row, column, isBytes ? bytes : 1);
  }
}

function full(name: string, value: number): ConnectRefusal {
  return { reason: `connection limit reached: ${name}=${value}`, retryAfterMs: FULL_RETRY_AFTER_MS, limit: name, isRate: false };
}
