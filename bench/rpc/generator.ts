/**
 * Generator of bench:rpc, a process of its own: the idle crowd, the callers, the subscriber and the service's instance, one thread.
 *
 * Open loop: the schedule is fixed in advance, and latency counts from the moment when an operation was due. Closed loop: so many operations in flight,
 * the next one goes when one is over.
 */
import { availableParallelism } from 'node:os';
import { increment } from '../../src/cli/bench/account.ts';
import { MessageReader, PUBLISH_ID_FIRST } from '../../src/cli/bench/frames.ts';
import { DRAIN_MS_MAX, DRAIN_TURN_MS } from '../../src/cli/bench/limits.ts';
import { writePayload, writeUint32 } from '../../src/cli/bench/payload.ts';
import { Schedule } from '../../src/cli/bench/plan.ts';
import { nowUs } from '../../src/cli/bench/shared-clock.ts';
import { type Destination, socketTarget } from '../../src/cli/bench/target.ts';
import { Ticker } from '../../src/cli/bench/ticker.ts';
import { unpack } from '../../src/protocol/codec.ts';
import type { MessageHeader } from '../../src/protocol/header.ts';
import { skipValue } from '../../src/protocol/skip.ts';
import { CONNECT_PATH, MessageType } from '../../src/protocol/types.ts';
import { LatencyHistogram } from '../../src/telemetry/latency-histogram.ts';
import { Crowd } from '../support/crowd.ts';
import { rounded } from '../support/figures.ts';
import { answerBench } from '../support/generator-process.ts';
import { Peer, type PeerEvents } from '../support/peer.ts';
import { MeasuredWindow, type WindowFigures } from '../support/window.ts';
import {
  callFrame,
  MARK_ANSWERED,
  MARK_ASKED,
  type OperationFrame,
  operationOf,
  type PayloadCheck,
  pingFrame,
  publishFrame,
  returnFrame,
} from './operation-frames.ts';
import { ANSWER, DELIVERY, Operations } from './operations.ts';
import type { Cell, CellReport, Kind, Question, RpcLoad } from './plan.ts';

const TOPIC = 'bench.rpc';
const SERVICE = 'bench.echo';
const METHOD = 'echo';
/** No bound of the instance's own: what is measured is the relay. */
const CAPACITY = 100_000;
/** As `relay bench`: a message may be this late to share a wake-up. */
const TICK_US = 1_000;
/** Time for the ticker's thread to start. */
const START_DELAY_MS = 300;
/** At the end of a cell: when nothing has come for so long, nothing more will. */
const SILENCE_MS_MAX = 10_000;
const NEVER_US = Number.POSITIVE_INFINITY;

class RpcGenerator implements PeerEvents {
  readonly #load: RpcLoad;
  readonly #pid: number;
  readonly #fail: (text: string) => void;
  readonly #crowd: Crowd;
  readonly #destination: Destination;
  readonly #callers: Peer[] = [];
  #subscriber: Peer | null = null;
  #instance: Peer | null = null;
  readonly #reader = new MessageReader();
  readonly #frames: Readonly<Record<Kind, OperationFrame>>;

  // The cell under way.
  #kind: Kind = 'ping';
  #operations = new Operations('ping');
  /** What every payload of the cell must be. */
  #check: PayloadCheck;
  /** Id of the cell's first operation; ids go on from cell to cell, so that a late answer is no other operation's. */
  #idFirst = PUBLISH_ID_FIRST;
  #isClosedLoop = false;
  /** Open loop: operations from this one on are measured. Closed loop: those that are over in the window. */
  #measureFrom = 0;
  #measureFromUs = NEVER_US;
  #measureToUs = NEVER_US;
  #schedule: Schedule | null = null;
  #t0Us = 0;
  #nextDueUs = NEVER_US;
  #lastReceiptUs = 0;
  #done = 0;
  #wrongPayloads = 0;
  #errorsByCode: Record<string, number> = {};
  #latency = new LatencyHistogram();
  #lag = new LatencyHistogram();

  constructor({ port, pid, runId, load }: Extract<Question, { name: 'connect' }>, fail: (text: string) => void) {
    this.#load = load;
    this.#pid = pid;
    this.#check = { payloadBytes: load.payloadBytes, runId, cell: 0 };
    this.#fail = fail;
    this.#destination = { host: '127.0.0.1', port, path: CONNECT_PATH, peer: null, spreadsAddresses: false };
    this.#crowd = new Crowd(this.#destination, load.idleConnections, load.connectsPerSecond, fail);
    this.#frames = {
      ping: pingFrame(),
      publish: publishFrame(TOPIC, load.payloadBytes, runId),
      call: callFrame(SERVICE, METHOD, load.payloadBytes, runId),
    };
  }

  async connect(): Promise<void> {
    await this.#crowd.gather();
    const target = socketTarget(this.#destination, '', 0);
    for (let index = 0; index < this.#load.callers; index++) {
      this.#callers.push(await Peer.connect(`caller ${index}`, target, this));
    }
    this.#subscriber = await Peer.connect('subscriber', target, this);
    await this.#subscriber.ask('SUBSCRIBE', TOPIC, null);
    this.#instance = await Peer.connect('instance', target, this);
    await this.#instance.ask('REGISTER', SERVICE, { version: '1.0.0', methods: [METHOD], capacity: CAPACITY });
  }

  async measure(cell: Cell): Promise<CellReport> {
    this.#check = { ...this.#check, cell: this.#check.cell + 1 };
    this.#idFirst += this.#operations.count;
    this.#kind = cell.kind ?? 'ping';
    this.#operations = new Operations(this.#kind);
    this.#isClosedLoop = cell.rate === null;
    this.#measureFromUs = NEVER_US;
    this.#measureToUs = NEVER_US;
    this.#done = 0;
    this.#wrongPayloads = 0;
    this.#errorsByCode = {};
    this.#latency = new LatencyHistogram();
    this.#lag = new LatencyHistogram();
    const { figures, asked, seconds } =
      cell.kind === null ? await this.#rest() : cell.rate === null ? await this.#saturate() : await this.#keepRate(cell.rate);
    const perOperation = (cpuSeconds: number): number => (this.#done === 0 ? 0 : rounded((cpuSeconds * 1e6) / this.#done, 2));
    const report: CellReport = {
      ...cell,
      ...figures,
      asked,
      operations: this.#done,
      operationsPerSecond: rounded(this.#done / seconds, 1),
      latencyMs: this.#latency.summaryMs(),
      generatorLagMs: this.#lag.summaryMs(),
      ...this.#operations.debts(),
      duplicated: this.#operations.duplicated,
      wrongPayloads: this.#wrongPayloads,
      errorsByCode: this.#errorsByCode,
      serverCpuUsPerOperation: perOperation(figures.serverCpuSeconds),
      generatorCpuUsPerOperation: perOperation(figures.generatorCpuSeconds),
      cores: availableParallelism(),
    };
    this.#latency.destroy();
    this.#lag.destroy();
    return report;
  }

  close(): void {
    this.#crowd.close();
    for (const peer of [...this.#callers, this.#subscriber, this.#instance]) peer?.close();
  }

  // ---- one cell

  async #rest(): Promise<CellFigures> {
    const window = new MeasuredWindow(this.#pid);
    await sleep(this.#load.durationSeconds * 1000);
    return { figures: window.close(), asked: 0, seconds: 1 };
  }

  async #keepRate(rate: number): Promise<CellFigures> {
    const { warmupSeconds, durationSeconds } = this.#load;
    const warmupCount = Math.round(rate * warmupSeconds);
    const count = warmupCount + Math.round(rate * durationSeconds);
    const plan = { streams: [0], streamTotal: 1, messages: count, rate };
    this.#schedule = new Schedule(plan.streams, plan.streamTotal, count, rate);
    this.#t0Us = Math.ceil(nowUs() + START_DELAY_MS * 1000);
    this.#nextDueUs = this.#t0Us;
    this.#measureFrom = warmupCount;
    this.#measureFromUs = this.#t0Us + (warmupCount * 1e6) / rate;
    const ticker = new Ticker({ ...plan, t0Us: this.#t0Us, spacingUs: TICK_US }, () => this.#sendDue());
    await sleep((this.#measureFromUs - nowUs()) / 1000);
    const window = new MeasuredWindow(this.#pid);
    await sleep((this.#t0Us + (count * 1e6) / rate - nowUs()) / 1000);
    await this.#drained(() => this.#schedule === null);
    ticker.stop();
    const figures = window.close();
    return { figures, asked: count - warmupCount, seconds: Math.max(this.#lastReceiptUs - this.#measureFromUs, 1) / 1e6 };
  }

  async #saturate(): Promise<CellFigures> {
    const { warmupSeconds, durationSeconds, inFlightMax } = this.#load;
    for (let index = 0; index < inFlightMax; index++) this.#send(nowUs(), 0);
    this.#flushCallers();
    await sleep(warmupSeconds * 1000);
    const window = new MeasuredWindow(this.#pid);
    this.#measureFromUs = window.openedUs;
    await sleep(durationSeconds * 1000);
    const figures = window.close();
    this.#measureToUs = window.openedUs + figures.elapsedSeconds * 1e6;
    await this.#drained(() => true);
    return { figures, asked: this.#done, seconds: figures.elapsedSeconds };
  }

  /** Resolves when everything that was sent is over, or nothing more comes. */
  async #drained(isSent: () => boolean): Promise<void> {
    const startUs = nowUs();
    for (;;) {
      const now = nowUs();
      if (isSent() && this.#operations.inFlight === 0) return;
      if (now - Math.max(this.#lastReceiptUs, startUs) > SILENCE_MS_MAX * 1000 || now - startUs > DRAIN_MS_MAX * 1000) return;
      await sleep(DRAIN_TURN_MS);
    }
  }

  // ---- sending

  /** Hot. Everything that is due, each on the next caller. */
  #sendDue(): void {
    const schedule = this.#schedule;
    if (schedule === null) return;
    for (let now = nowUs(); !schedule.isDone; now = nowUs()) {
      const dueUs = Math.floor(this.#t0Us + schedule.dueUs);
      if (dueUs > now) {
        this.#nextDueUs = dueUs;
        this.#flushCallers();
        return;
      }
      if (schedule.message >= this.#measureFrom) this.#lag.record(now - dueUs);
      this.#send(dueUs, now - dueUs);
      schedule.advance();
    }
    this.#schedule = null;
    this.#nextDueUs = NEVER_US;
    this.#flushCallers();
  }

  /** Hot. The next operation, on the next caller; it leaves with a flush. */
  #send(dueUs: number, lagUs: number): void {
    const { frame, idAt, payloadAt } = this.#frames[this.#kind];
    const operation = this.#operations.begin(dueUs);
    writeUint32(frame, idAt, this.#idFirst + operation);
    if (payloadAt >= 0) writePayload(frame, payloadAt, this.#check.cell, operation, dueUs, lagUs);
    this.#callers[operation % this.#callers.length]?.add(frame);
  }

  #flushCallers(): void {
    for (const caller of this.#callers) caller.flush();
  }

  // ---- receiving

  /** Hot. */
  peerMessage(peer: Peer, header: MessageHeader, bytes: Uint8Array, start: number): void {
    switch (header.type) {
      case MessageType.OK:
        this.#answered(header.id - this.#idFirst, ANSWER);
        return;
      case MessageType.RESULT:
        this.#takeResult(header, bytes);
        return;
      case MessageType.MESSAGE:
        this.#takeMessage(header, bytes, start);
        return;
      case MessageType.INVOKE:
        this.#invoke(header, bytes);
        return;
      case MessageType.ERROR:
        this.#refused(header, bytes, start);
        return;
      case MessageType.CANCELLED:
        increment(this.#errorsByCode, 'CANCELLED'); // Of a call that was returned at once: the RETURN did not arrive.
        return;
      default:
        this.#fail(`${peer.name} got what it should not: ${JSON.stringify(unpack(bytes.slice(start, header.end)))}`);
    }
  }

  /** Hot. `[callId, service, method, options, payload]`: the instance gives it back at once. */
  #invoke(header: MessageHeader, bytes: Uint8Array): void {
    const { end } = header;
    let at = header.bodyStart;
    for (let element = 0; element < 3; element++) at = skipValue(bytes, at, end);
    if (operationOf(bytes, at, end, MARK_ASKED, this.#check) < 0) this.#wrongPayloads++;
    this.#instance?.add(returnFrame(header.id, bytes, at, end, this.#load.payloadBytes));
  }

  /** Hot. `[id, more, payload]` */
  #takeResult(header: MessageHeader, bytes: Uint8Array): void {
    const operation = header.id - this.#idFirst;
    const isLast = bytes[header.bodyStart] === 0xc2;
    if (!isLast || operationOf(bytes, header.bodyStart + 1, header.end, MARK_ANSWERED, this.#check) !== operation)
      this.#wrongPayloads++;
    this.#answered(operation, ANSWER);
  }

  /** Hot. */
  #takeMessage({ end }: MessageHeader, bytes: Uint8Array, start: number): void {
    const reader = this.#reader;
    const binHeadBytes = this.#load.payloadBytes < 0x100 ? 2 : this.#load.payloadBytes < 0x1_0000 ? 3 : 5;
    const operation =
      reader.readMessage(bytes, start, end) === end
        ? operationOf(bytes, reader.payloadStart - binHeadBytes, end, MARK_ASKED, this.#check)
        : -1;
    if (operation < 0) {
      this.#wrongPayloads++;
      return;
    }
    this.#answered(operation, DELIVERY);
  }

  /** Hot. */
  #answered(operation: number, part: number): void {
    if (!this.#operations.got(operation, part)) return;
    const now = nowUs();
    this.#lastReceiptUs = now;
    const dueUs = this.#operations.dueUs(operation);
    const isMeasured = this.#isClosedLoop
      ? now >= this.#measureFromUs && now <= this.#measureToUs
      : operation >= this.#measureFrom;
    if (isMeasured) {
      this.#done++;
      this.#latency.record(now - dueUs);
    }
    this.#goOn(now);
  }

  /** Closed loop: one is over, the next one goes. */
  #goOn(now: number): void {
    if (this.#isClosedLoop && this.#measureToUs === NEVER_US) this.#send(now, 0);
  }

  #refused(header: MessageHeader, bytes: Uint8Array, start: number): void {
    const [, , code, text] = unpack(bytes.slice(start, header.end)) as [number, number, number, string];
    increment(this.#errorsByCode, `${code} ${text}`);
    if (header.id === 0) return; // Of a RETURN: its call goes unanswered and is counted there.
    this.#operations.failed(header.id - this.#idFirst);
    this.#goOn(nowUs());
  }

  /** Hot. Whatever the messages that came together led to leaves together. */
  peerTurnEnd(): void {
    // Between ticks the loop is awake anyway: what has become due meanwhile goes out now.
    if (nowUs() >= this.#nextDueUs) this.#sendDue();
    this.#instance?.flush();
    if (this.#isClosedLoop) this.#flushCallers();
  }

  peerClosed(peer: Peer, code: number, reason: string): void {
    this.#fail(`the relay closed the connection of ${peer.name}: ${code} ${reason}`);
  }
}

interface CellFigures {
  readonly figures: WindowFigures;
  readonly asked: number;
  /** What the operations' rate counts over. */
  readonly seconds: number;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(ms, 0)));
}

let generator: RpcGenerator | null = null;

const { fail } = answerBench(async (question: Question) => {
  if (question.name === 'measure') return generator?.measure(question.cell);
  generator = new RpcGenerator(question, (text) => fail(text));
  return generator.connect();
});
