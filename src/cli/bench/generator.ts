/**
 * Generator: one process's share of a bench run: its connections, what they publish, and the account of what they receive.
 *
 * One per process, single-threaded but for its ticker. It says what happened and leaves sums over processes to run.ts.
 * The hot path is `socketMessage` down to `#takePayload`, and `#publishDue`: nothing there allocates.
 */
import { Prng } from '../../base/prng.ts';
import { readUint32, skipValue } from '../../protocol/skip.ts';
import type { Position } from '../../protocol/types.ts';
import { LatencyHistogram } from '../../telemetry/latency-histogram.ts';
import { accountOf, hasEverything, increment, RunCounts } from './account.ts';
import { ConnectPacer } from './connect-pacer.ts';
import {
  decodeOther,
  HELLO_ID,
  helloFrame,
  joinFrame,
  MessageReader,
  PUBLISH_ID_FIRST,
  type PublishTemplate,
  READ_OTHER,
  relayPublishTemplate,
  SUBSCRIBE_ID,
} from './frames.ts';
import type { Refusal, WorkerOptions, WorkerReport } from './ipc.ts';
import {
  CHURN_TURN_MS,
  CONNECT_ATTEMPTS_MAX,
  CONNECT_BACKOFF_MS,
  CONNECT_TIMEOUT_MS,
  CONNECTS_IN_FLIGHT_MAX,
  DRAIN_MS_MAX,
  DRAIN_TURN_MS,
  QUIET_MS,
  SLOW_VERDICT_MS,
} from './limits.ts';
import {
  LAG_OFFSET_BYTES,
  PAYLOAD_MAGIC,
  RUN_ID_OFFSET_BYTES,
  readDueUs,
  SEQUENCE_OFFSET_BYTES,
  STREAM_OFFSET_BYTES,
  writePayload,
  writeUint32,
} from './payload.ts';
import { type PeerCodec, peerCodec } from './peers/codec.ts';
import {
  type Member,
  messageCount,
  type ProcessPlan,
  planProcess,
  roomName,
  Schedule,
  streamCount,
  warmupCount,
} from './plan.ts';
import { RawWebSocket, type SocketHandler } from './raw-websocket.ts';
import { nowUs } from './shared-clock.ts';
import { SEQUENCE_ANY, Tally } from './tally.ts';
import { type Destination, destinationOf, socketTarget } from './target.ts';
import { Ticker } from './ticker.ts';

/** Where a connection stands. Held as one byte per connection, not as objects: there are tens of thousands. */
const AWAY = 0;
const CONNECTING = 1;
const JOINED = 2;
/** The server ended it during the run, and nothing brings it back. */
const ENDED = 3;

export class Generator implements SocketHandler {
  readonly #options: WorkerOptions;
  readonly #runId: number;
  readonly #plan: ProcessPlan;
  /** Null: the server is a relay. */
  readonly #peer: PeerCodec | null;
  readonly #streamTotal: number;
  readonly #messages: number;
  readonly #warmupMessages: number;
  readonly #prng: Prng;
  readonly #pacer: ConnectPacer;
  readonly #destination: Destination;
  readonly #processIndex: number;
  /** Separate connection that publishes for members that get cut; its tag is one past theirs. -1: members publish. */
  readonly #publisherTag: number;
  readonly #fail: (text: string) => void;

  // Per connection, by tag.
  readonly #sockets: (RawWebSocket | null)[];
  readonly #status: Uint8Array;
  readonly #attempts: Uint8Array;
  readonly #roomOf: Uint32Array;
  readonly #connectStartUs: Float64Array;
  readonly #lastOffset: Float64Array;
  readonly #epochs: string[];
  /** Messages due before this were replayed, not late. */
  readonly #liveFromUs: Float64Array;

  readonly #reader = new MessageReader();
  readonly #tally: Tally;
  readonly #latency = new LatencyHistogram();
  readonly #fromSend = new LatencyHistogram();
  readonly #lag = new LatencyHistogram();
  readonly #connectTime = new LatencyHistogram();
  readonly #slowHandler: SocketHandler;

  #joined = 0;
  connectRetries = 0;
  #onAllJoined: (() => void) | null = null;
  #connectSweep: NodeJS.Timeout | null = null;

  #schedule: Schedule;
  readonly #roomNames: readonly Uint8Array[];
  #template: PublishTemplate;
  #ticker: Ticker | null = null;
  #t0Us = 0;
  #nextDueUs = Number.POSITIVE_INFINITY;
  #measureStartUs = 0;
  #lastSentUs = 0;
  #cpuAtMeasureStart: NodeJS.CpuUsage | null = null;
  #onDrained: (() => void) | null = null;
  #answersOwed = 0;
  readonly #counts = new RunCounts();
  readonly refused: Refusal[] = [];
  #churnTimer: NodeJS.Timeout | null = null;
  /** `fail` is told why the run cannot go on, once or more. */
  constructor(options: WorkerOptions, processIndex: number, runId: number, fail: (text: string) => void) {
    this.#options = options;
    this.#runId = runId;
    this.#processIndex = processIndex;
    this.#fail = fail;
    this.#peer = peerCodec(options.target, {
      joined: (tag) => this.#entered(tag),
      payload: (tag, bytes, at, payloadBytes) => this.#takePayload(tag, bytes, at, payloadBytes, this.#counts.lastReceiptUs),
      answer: (tag, frame) => this.#sockets[tag]?.send(frame),
      fault: fail,
    });
    this.#plan = planProcess(options, processIndex);
    this.#streamTotal = streamCount(options);
    this.#messages = messageCount(options);
    this.#warmupMessages = warmupCount(options);
    this.#prng = new Prng(options.seed, processIndex + 1);
    this.#pacer = new ConnectPacer(options.connectRate / options.processes, CONNECTS_IN_FLIGHT_MAX, (tag) => this.#open(tag));
    this.#destination = destinationOf(options, this.#peer);

    const members = this.#plan.members;
    this.#publisherTag = options.mode === 'reconnect' ? members.length : -1;
    const tags = members.length + (this.#publisherTag < 0 ? 0 : 1);
    this.#sockets = new Array<RawWebSocket | null>(tags).fill(null);
    this.#status = new Uint8Array(tags);
    this.#attempts = new Uint8Array(tags);
    this.#roomOf = Uint32Array.from({ length: tags }, (_, tag) => members[tag]?.room ?? 0);
    this.#connectStartUs = new Float64Array(tags);
    this.#lastOffset = new Float64Array(tags);
    this.#epochs = new Array<string>(tags).fill('');
    this.#liveFromUs = new Float64Array(tags);
    this.#tally = new Tally(members.length * options.publishers);
    this.#schedule = new Schedule(this.#plan.streams, this.#streamTotal, this.#messages, options.rate);
    this.#roomNames = this.#plan.streams.map((stream) => Buffer.from(roomName(runId, stream % options.rooms)));
    const roomBytes = roomName(runId, 0).length;
    this.#template =
      this.#peer?.publishTemplate(roomBytes, options.payloadBytes, runId) ??
      relayPublishTemplate(roomBytes, options.payloadBytes, runId);
    // Slow members are another class of receiver, so the check is made once per socket and not once per message.
    this.#slowHandler = {
      socketOpened: (socket) => this.socketOpened(socket),
      socketMessage: (socket, bytes, start, end) => this.#slowMessage(socket, bytes, start, end),
      socketClosed: (socket, code, reason) => this.#slowClosed(socket, code, reason),
    };
  }

  get connectHistogram(): string {
    return this.#connectTime.toBase64();
  }

  // ---- connecting

  /** Resolves when every connection is subscribed. */
  connectAll(): Promise<void> {
    for (let tag = 0; tag < this.#sockets.length; tag++) this.#join(tag);
    this.#connectSweep = setInterval(() => this.#dropStalledConnects(), 1_000);
    return new Promise((resolve) => {
      this.#onAllJoined = resolve;
    });
  }

  #join(tag: number): void {
    this.#status[tag] = CONNECTING;
    this.#connectStartUs[tag] = 0;
    this.#pacer.add(tag);
  }

  #open(tag: number): void {
    this.#connectStartUs[tag] = nowUs();
    const isSlow = this.#plan.members[tag]?.isSlow ?? false;
    const target = socketTarget(this.#destination, this.#roomNameOf(tag), tag * this.#options.processes + this.#processIndex);
    this.#sockets[tag] = new RawWebSocket(tag, target, isSlow ? this.#slowHandler : this);
  }

  #roomNameOf(tag: number): string {
    return roomName(this.#runId, this.#roomOf[tag] as number);
  }

  socketOpened(socket: RawWebSocket): void {
    const { tag } = socket;
    if (this.#peer !== null) {
      const greeting = this.#peer.opened(tag, this.#roomNameOf(tag));
      if (greeting === null) this.#entered(tag);
      else socket.send(greeting);
    } else if (tag === this.#publisherTag) socket.send(helloFrame(this.#options.token));
    else socket.send(joinFrame(this.#roomNameOf(tag), this.#sinceOf(tag), this.#options.token));
  }

  /** Those that were cut ask for what they missed; those that left on purpose do not. */
  #sinceOf(tag: number): Position | null {
    const epoch = this.#epochs[tag] as string;
    return this.#options.mode === 'reconnect' && epoch !== '' ? { epoch, offset: this.#lastOffset[tag] as number } : null;
  }

  #entered(tag: number): void {
    const wasAbsent = this.#t0Us > 0;
    this.#status[tag] = JOINED;
    this.#attempts[tag] = 0;
    this.#pacer.release();
    this.#joined++;
    if (!wasAbsent) this.#connectTime.record(nowUs() - (this.#connectStartUs[tag] as number));
    else if (this.#options.mode === 'churn') this.#counts.cameBack++;
    if (this.#joined < this.#sockets.length) return;
    if (this.#counts.cutUs > 0) this.#counts.allBackUs = nowUs();
    this.#onAllJoined?.();
    this.#onAllJoined = null;
  }

  #retryConnect(tag: number, reason: string): void {
    this.#pacer.release();
    this.#sockets[tag] = null;
    this.connectRetries++;
    const attempts = ((this.#attempts[tag] as number) + 1) & 0xff;
    this.#attempts[tag] = attempts;
    if (attempts >= CONNECT_ATTEMPTS_MAX) {
      this.#fail(`cannot connect to ${this.#options.url} after ${attempts} attempts: ${reason}`);
      return;
    }
    setTimeout(() => this.#join(tag), CONNECT_BACKOFF_MS * attempts);
  }

  #dropStalledConnects(): void {
    const oldestUs = nowUs() - CONNECT_TIMEOUT_MS * 1000;
    for (let tag = 0; tag < this.#sockets.length; tag++) {
      const startUs = this.#connectStartUs[tag] as number;
      if (this.#status[tag] !== CONNECTING || startUs === 0 || startUs > oldestUs || this.#sockets[tag] === null) continue;
      this.#sockets[tag]?.destroy();
      this.#retryConnect(tag, `no answer within ${CONNECT_TIMEOUT_MS} ms`);
    }
  }

  socketClosed(socket: RawWebSocket, code: number, reason: string): void {
    const { tag } = socket;
    if (this.#status[tag] === CONNECTING) {
      this.#retryConnect(tag, reason === '' ? `closed with ${code}` : reason);
      return;
    }
    this.#sockets[tag] = null;
    this.#joined--;
    increment(this.#counts.disconnectsByCode, String(code));
    if (this.#t0Us === 0) this.#fail(`the server closed a connection before the run began: ${code} ${reason}`);
    else if (this.#options.mode === 'reconnect') this.#join(tag);
    else this.#status[tag] = ENDED;
  }

  // ---- receiving

  /** Hot. */
  socketMessage(socket: RawWebSocket, bytes: Uint8Array, start: number, end: number): void {
    const receivedUs = nowUs();
    this.#counts.lastReceiptUs = receivedUs;
    const { tag } = socket;
    if (this.#peer !== null) this.#peer.read(tag, bytes, start, end);
    else {
      const reader = this.#reader;
      let at = start;
      while (at < end) {
        const next = reader.readMessage(bytes, at, end);
        if (next === READ_OTHER) {
          at = this.#takeOther(socket, bytes, at, end);
          if (at < 0) return;
        } else {
          this.#lastOffset[tag] = reader.offset;
          this.#takePayload(tag, bytes, reader.payloadStart, reader.payloadBytes, receivedUs);
          at = next;
        }
      }
    }
    // Between ticks the loop is awake anyway: what has become due meanwhile goes out now.
    if (receivedUs >= this.#nextDueUs) this.#publishDue();
  }

  /** Hot. */
  #takePayload(tag: number, bytes: Uint8Array, at: number, payloadBytes: number, receivedUs: number): void {
    const { rooms, publishers } = this.#options;
    if (
      payloadBytes !== this.#options.payloadBytes ||
      readUint32(bytes, at) !== PAYLOAD_MAGIC ||
      readUint32(bytes, at + RUN_ID_OFFSET_BYTES) !== this.#runId
    ) {
      this.#counts.foreign++;
      return;
    }
    const stream = readUint32(bytes, at + STREAM_OFFSET_BYTES);
    const rank = Math.floor(stream / rooms);
    if (stream - rank * rooms !== this.#roomOf[tag] || rank >= publishers || tag === this.#publisherTag) {
      this.#counts.foreign++;
      return;
    }
    if (!this.#tally.receive(tag * publishers + rank, readUint32(bytes, at + SEQUENCE_OFFSET_BYTES))) return;
    const dueUs = readDueUs(bytes, at);
    if (dueUs < this.#measureStartUs) return;
    this.#counts.delivered++;
    if (dueUs < (this.#liveFromUs[tag] as number)) {
      this.#counts.replayed++;
      return;
    }
    this.#latency.record(receivedUs - dueUs);
    this.#fromSend.record(receivedUs - dueUs - readUint32(bytes, at + LAG_OFFSET_BYTES));
  }

  /** Everything but a MESSAGE of ours. The offset after it, or -1 when the rest of the frame cannot be read. */
  #takeOther(socket: RawWebSocket, bytes: Uint8Array, start: number, end: number): number {
    const messageEnd = skipValue(bytes, start, end);
    if (messageEnd < 0) {
      this.#fail('the server sent something that is no MessagePack');
      return -1;
    }
    const okId = this.#reader.readOkId(bytes, start, end);
    if (okId >= PUBLISH_ID_FIRST) this.#answersOwed--;
    else this.#actOn(socket, bytes, start, messageEnd);
    return messageEnd;
  }

  /** Cold. */
  #actOn(socket: RawWebSocket, bytes: Uint8Array, start: number, end: number): void {
    const message = decodeOther(bytes, start, end);
    switch (message.name) {
      case 'ok':
        if (message.id === SUBSCRIBE_ID) this.#subscribed(socket.tag, message.result);
        else if (message.id === HELLO_ID && socket.tag === this.#publisherTag) this.#entered(socket.tag);
        break;
      case 'error':
        if (message.id === HELLO_ID || message.id === SUBSCRIBE_ID) {
          this.#fail(`the relay refused ${message.id === HELLO_ID ? 'HELLO' : 'SUBSCRIBE'}: ${message.code} ${message.text}`);
        } else this.#publishRefused(message.id, String(message.code));
        break;
      case 'event':
        increment(this.#counts.eventsByKind, message.kind);
        break;
      case 'goaway':
        this.#counts.goaways++;
        break;
      case 'unknown':
        this.#counts.foreign++;
        break;
      default:
        message satisfies never;
    }
  }

  #subscribed(tag: number, result: Readonly<Record<string, unknown>>): void {
    const wasCut = this.#sinceOf(tag) !== null;
    if (wasCut) {
      if (result['recovered'] === true) this.#counts.recovered++;
      else increment(this.#counts.nonRecoveredByReason, String(result['reason'] ?? 'unknown'));
      this.#liveFromUs[tag] = nowUs();
    }
    this.#epochs[tag] = typeof result['epoch'] === 'string' ? result['epoch'] : '';
    const offset = Number(result['offset'] ?? 0);
    // After a recovery the replay is still to come: only messages move the position then.
    if (!wasCut || result['recovered'] !== true) this.#lastOffset[tag] = offset;
    // One publisher and a history: offset n belongs to sequence n - 1, so even the first message after coming back can be missed.
    const { mode, publishers } = this.#options;
    const offsetTells = mode === 'churn' && publishers === 1 && this.refused.length === 0;
    if (offsetTells && this.#t0Us > 0 && offset > 0) this.#tally.expectNext(tag, offset);
    this.#entered(tag);
  }

  #publishRefused(id: number, code: string): void {
    increment(this.#counts.publishErrorsByCode, code);
    if (id < PUBLISH_ID_FIRST) return; // Without acks the relay cannot say which.
    this.#answersOwed--;
    const message = id - PUBLISH_ID_FIRST;
    this.refused.push({ stream: message % this.#streamTotal, sequence: Math.floor(message / this.#streamTotal) });
  }

  // ---- publishing

  /** Resolves when everything is published and received, or nothing more comes. */
  run(t0Us: number): Promise<void> {
    this.#t0Us = t0Us;
    this.#measureStartUs = Math.floor(t0Us + (this.#warmupMessages * 1_000_000) / this.#options.rate);
    this.#nextDueUs = this.#schedule.isDone ? Number.POSITIVE_INFINITY : t0Us + this.#schedule.dueUs;
    this.#at(this.#measureStartUs, () => {
      this.#cpuAtMeasureStart = process.cpuUsage();
    });
    const { mode, durationSeconds, tickUs, rate } = this.#options;
    if (mode === 'slow') this.#pauseSlowMembers();
    if (mode === 'churn') this.#at(t0Us, () => this.#startChurn());
    if (mode === 'reconnect') this.#at(this.#measureStartUs + (durationSeconds * 1_000_000) / 2, () => this.#cutAll());
    if (!this.#schedule.isDone) {
      const { streams } = this.#plan;
      const tickerPlan = { t0Us, streams, streamTotal: this.#streamTotal, messages: this.#messages, rate, spacingUs: tickUs };
      this.#ticker = new Ticker(tickerPlan, () => this.#publishDue());
    }
    this.#at(t0Us + (this.#messages * 1_000_000) / rate, () => this.#drain());
    return new Promise((resolve) => {
      this.#onDrained = resolve;
    });
  }

  /** Hot. Sends everything that is due. */
  #publishDue(): void {
    const schedule = this.#schedule;
    while (!schedule.isDone) {
      const dueUs = Math.floor(this.#t0Us + schedule.dueUs);
      const sentUs = nowUs();
      if (dueUs > sentUs) {
        this.#nextDueUs = dueUs;
        return;
      }
      this.#publish(dueUs, sentUs);
      schedule.advance();
    }
    this.#nextDueUs = Number.POSITIVE_INFINITY;
    this.#ticker?.stop();
    this.#ticker = null;
  }

  /** Hot. The message that the schedule stands at. */
  #publish(dueUs: number, sentUs: number): void {
    const { message, place, sequence } = this.#schedule;
    const stream = this.#plan.streams[place] as number;
    const memberIndex = this.#plan.streamMembers[place] as number;
    const socket = this.#sockets[memberIndex < 0 ? this.#publisherTag : memberIndex];
    if (message >= this.#warmupMessages) {
      this.#counts.published++;
      this.#lag.record(sentUs - dueUs);
    }
    this.#lastSentUs = sentUs;
    if (socket === null || socket === undefined || !socket.isOpen) {
      increment(this.#counts.publishErrorsByCode, 'notConnected');
      this.refused.push({ stream, sequence });
      return;
    }
    const { frame, idAt, roomAt, payloadAt } = this.#template;
    if (idAt >= 0 && this.#options.acks) {
      writeUint32(frame, idAt, PUBLISH_ID_FIRST + message);
      this.#answersOwed++;
    }
    if (roomAt >= 0) frame.set(this.#roomNames[place] as Uint8Array, roomAt);
    writePayload(frame, payloadAt, stream, sequence, dueUs, sentUs - dueUs);
    // The kernel did not take all of it: the rest is read from this buffer later, so the next message needs another one.
    if (!socket.send(frame)) this.#template = { ...this.#template, frame: frame.slice() };
  }

  // ---- modes

  #startChurn(): void {
    const perMs = this.#options.churnRate / this.#options.processes / 1000;
    const churners = this.#plan.members.filter((member) => member.isChurner);
    let budget = 0;
    let turnAtMs = performance.now();
    if (churners.length === 0) return;
    this.#churnTimer = setInterval(() => {
      const nowMs = performance.now();
      budget += (nowMs - turnAtMs) * perMs;
      turnAtMs = nowMs;
      for (; budget >= 1; budget--) {
        const member = this.#prng.pick(churners);
        if (this.#status[member.index] === JOINED) this.#leave(member.index);
      }
    }, CHURN_TURN_MS);
  }

  #leave(tag: number): void {
    this.#sockets[tag]?.leave();
    this.#sockets[tag] = null;
    this.#status[tag] = AWAY;
    this.#joined--;
    this.#counts.left++;
    const { publishers, awayMs } = this.#options;
    for (let slot = tag * publishers; slot < (tag + 1) * publishers; slot++) this.#tally.expectNext(slot, SEQUENCE_ANY);
    setTimeout(() => this.#join(tag), awayMs);
  }

  #cutAll(): void {
    this.#counts.cutUs = nowUs();
    for (const { index } of this.#plan.members) {
      if (this.#status[index] !== JOINED) continue;
      this.#sockets[index]?.destroy();
      this.#sockets[index] = null;
      this.#joined--;
      this.#counts.cut++;
      this.#join(index);
    }
  }

  #pauseSlowMembers(): void {
    for (const member of this.#plan.members) if (member.isSlow) this.#sockets[member.index]?.pauseReading();
  }

  /** What a slow member reads when the run is over concerns nobody; until it is subscribed it is a member like all others. */
  #slowMessage(socket: RawWebSocket, bytes: Uint8Array, start: number, end: number): void {
    if (this.#t0Us === 0) this.socketMessage(socket, bytes, start, end);
  }

  #slowClosed(socket: RawWebSocket, code: number, reason: string): void {
    if (this.#t0Us === 0) {
      this.socketClosed(socket, code, reason);
      return;
    }
    this.#sockets[socket.tag] = null;
    this.#status[socket.tag] = ENDED;
    increment(this.#counts.slowEndedByCode, String(code));
  }

  // ---- the end

  #drain(): void {
    const startUs = nowUs();
    this.#publishDue(); // All of it is due by now, though the ticker of a machine too busy may not have run yet: late is not lost.
    if (this.#churnTimer !== null) clearInterval(this.#churnTimer);
    const timer = setInterval(() => {
      const now = nowUs();
      const isQuiet = now - Math.max(this.#counts.lastReceiptUs, this.#lastSentUs, startUs) > QUIET_MS * 1000;
      if (!this.#isComplete() && !isQuiet && now - startUs < DRAIN_MS_MAX * 1000) return;
      clearInterval(timer);
      if (this.#cpuAtMeasureStart !== null) {
        const { user, system } = process.cpuUsage(this.#cpuAtMeasureStart);
        this.#counts.cpuSeconds = (user + system) / 1_000_000;
      }
      this.#onDrained?.();
    }, DRAIN_TURN_MS);
  }

  #isComplete(): boolean {
    if (!this.#schedule.isDone || (this.#options.acks && this.#answersOwed > 0)) return false;
    return hasEverything(this.#plan.members, this.#options, this.#tally, ({ index, isChurner }) => {
      // A churner that is away is owed nothing. Whoever was cut is owed everything, and has to come back for it.
      const status = this.#status[index];
      return status !== ENDED && (!isChurner || status === JOINED);
    });
  }

  /** The final account. `refused` are the publishes of all processes that reached nobody. */
  async finish(refused: readonly Refusal[]): Promise<WorkerReport> {
    const slowMembers = this.#plan.members.filter((member) => member.isSlow);
    if (slowMembers.length > 0) {
      for (const { index } of slowMembers) this.#sockets[index]?.resumeReading();
      await new Promise((resolve) => setTimeout(resolve, SLOW_VERDICT_MS));
    }
    const notBack = this.#plan.members.filter((member) => this.#status[member.index] === CONNECTING && !member.isChurner).length;
    return {
      ...this.#counts,
      ...accountOf(this.#plan.members, this.#options, this.#counts.delivered, refused, this.#tally, (member) =>
        this.#isTailOwed(member),
      ),
      duplicated: this.#tally.duplicated,
      reordered: this.#tally.reordered,
      latencyHistogram: this.#latency.toBase64(),
      fromSendHistogram: this.#fromSend.toBase64(),
      lagHistogram: this.#lag.toBase64(),
      unanswered: Math.max(this.#answersOwed, 0),
      notBack,
      slowMembers: slowMembers.length,
    };
  }

  /** Who has left on its own is not owed what came after. */
  #isTailOwed(member: Member): boolean {
    return !member.isChurner || this.#status[member.index] === JOINED || this.#status[member.index] === ENDED;
  }

  /** Cuts every connection. The process may exit then. */
  close(): void {
    this.#pacer.clear();
    this.#ticker?.stop();
    if (this.#connectSweep !== null) clearInterval(this.#connectSweep);
    if (this.#churnTimer !== null) clearInterval(this.#churnTimer);
    for (const socket of this.#sockets) socket?.destroy();
  }

  #at(momentUs: number, act: () => void): void {
    setTimeout(act, Math.max((momentUs - nowUs()) / 1000, 0));
  }
}
