/**
 * Frames of the operations, made once and filled in per operation, and the payload that proves which operation it belongs to.
 *
 * The payload is the bench's (src/cli/bench/payload.ts): stream = number of the cell, sequence = number of the operation in it. Behind its head stands a
 * mark that the service's instance changes, so that an answer that did not pass the instance is known, and then bytes that must come back as they were.
 */
import { type PublishTemplate, relayPublishTemplate } from '../../src/cli/bench/frames.ts';
import {
  PAYLOAD_MAGIC,
  RUN_ID_OFFSET_BYTES,
  SEQUENCE_OFFSET_BYTES,
  STREAM_OFFSET_BYTES,
  writePayloadConstants,
} from '../../src/cli/bench/payload.ts';
import { frameHeadBytes, writeFrameHead } from '../../src/cli/bench/raw-websocket.ts';
import { pack } from '../../src/protocol/codec.ts';
import { writeUint } from '../../src/protocol/encode.ts';
import { readUint32 } from '../../src/protocol/skip.ts';
import { MessageType } from '../../src/protocol/types.ts';

export const MARK_OFFSET_BYTES = 28;
export const MARK_ASKED = 0x0a;
export const MARK_ANSWERED = 0x0b;
const FILL_OFFSET_BYTES = MARK_OFFSET_BYTES + 1;

const NIL = 0xc0;
const UINT32 = 0xce;
const CALL_ID_BYTES_MAX = 9;

/** A frame with an id of four bytes at `idAt` and a payload at `payloadAt`; -1 where it has none. */
export type OperationFrame = Pick<PublishTemplate, 'frame' | 'idAt' | 'payloadAt'>;

/** `[14, id]` */
export function pingFrame(): OperationFrame {
  const head = Uint8Array.of(0x92, MessageType.PING, UINT32, 0, 0, 0, 0);
  const frame = new Uint8Array(frameHeadBytes(head.length) + head.length);
  const bodyAt = writeFrameHead(frame, head.length);
  frame.set(head, bodyAt);
  return { frame, idAt: bodyAt + 3, payloadAt: -1 };
}

/** `[2, id, topic, nil, bin]` */
export function publishFrame(topic: string, payloadBytes: number, runId: number): OperationFrame {
  const name = Buffer.from(topic);
  const template = relayPublishTemplate(name.length, payloadBytes, runId);
  template.frame.set(name, template.roomAt);
  writeFill(template.frame, template.payloadAt, payloadBytes);
  return template;
}

/** `[5, id, service, method, nil, bin]`: no options, so the deadline is the relay's default. */
export function callFrame(service: string, method: string, payloadBytes: number, runId: number): OperationFrame {
  const head = Uint8Array.of(0x96, MessageType.CALL, UINT32, 0, 0, 0, 0);
  const body = Buffer.concat([head, pack(service), pack(method), Uint8Array.of(NIL), pack(new Uint8Array(payloadBytes))]);
  const frame = new Uint8Array(frameHeadBytes(body.length) + body.length);
  const bodyAt = writeFrameHead(frame, body.length);
  frame.set(body, bodyAt);
  const payloadAt = frame.length - payloadBytes;
  writePayloadConstants(frame, payloadAt, runId);
  writeFill(frame, payloadAt, payloadBytes);
  return { frame, idAt: bodyAt + 3, payloadAt };
}

/** Hot. `[7, callId, nil, payload]`: a frame of its own, the payload as it came but for the mark. `valueStart` is where its MessagePack value begins. */
export function returnFrame(
  callId: number,
  bytes: Uint8Array,
  valueStart: number,
  valueEnd: number,
  payloadBytes: number,
): Uint8Array {
  const head = returnHead;
  const headEnd = writeUint(head, 2, callId);
  head[headEnd] = NIL;
  const headBytes = headEnd + 1;
  const bodyBytes = headBytes + valueEnd - valueStart;
  const frame = new Uint8Array(frameHeadBytes(bodyBytes) + bodyBytes);
  const bodyAt = writeFrameHead(frame, bodyBytes);
  frame.set(head.subarray(0, headBytes), bodyAt);
  frame.set(bytes.subarray(valueStart, valueEnd), bodyAt + headBytes);
  frame[frame.length - payloadBytes + MARK_OFFSET_BYTES] = MARK_ANSWERED;
  return frame;
}
const returnHead = new Uint8Array(2 + CALL_ID_BYTES_MAX + 1);
returnHead[0] = 0x94;
returnHead[1] = MessageType.RETURN;

function writeFill(frame: Uint8Array, payloadAt: number, payloadBytes: number): void {
  frame[payloadAt + MARK_OFFSET_BYTES] = MARK_ASKED;
  for (let offset = FILL_OFFSET_BYTES; offset < payloadBytes; offset++) frame[payloadAt + offset] = offset;
}

/** What a payload must be. */
export interface PayloadCheck {
  readonly payloadBytes: number;
  readonly runId: number;
  readonly cell: number;
}

/** Hot. The number of the operation whose payload ends at `end`, or -1 if it is nobody's or not as it was. `start` is where its value begins. */
export function operationOf(bytes: Uint8Array, start: number, end: number, mark: number, want: PayloadCheck): number {
  const { payloadBytes } = want;
  const at = end - payloadBytes;
  // A bin of this size has a head of 2, 3 or 5 bytes, the shortest of which everybody here writes.
  if (at - start !== (payloadBytes < 0x100 ? 2 : payloadBytes < 0x1_0000 ? 3 : 5)) return -1;
  if (readUint32(bytes, at) !== PAYLOAD_MAGIC || readUint32(bytes, at + RUN_ID_OFFSET_BYTES) !== want.runId) return -1;
  if (readUint32(bytes, at + STREAM_OFFSET_BYTES) !== want.cell || bytes[at + MARK_OFFSET_BYTES] !== mark) return -1;
  for (let offset = FILL_OFFSET_BYTES; offset < payloadBytes; offset++) {
    if (bytes[at + offset] !== (offset & 0xff)) return -1;
  }
  return readUint32(bytes, at + SEQUENCE_OFFSET_BYTES);
}
