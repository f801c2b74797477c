/** The contract as bytes: what the fixtures spell is what MESSAGE_SPECS, the header reader, the encoders, a decoder and docs/protocol.md say. */
import t from 'tap';
import { isFramesSectionCurrent } from '../../../scripts/generate-protocol-frames.ts';
import { readMessages } from '../../../src/client/codec.ts';
import { pack, unpack, unpackMany } from '../../../src/protocol/codec.ts';
import { WIRE_ERRORS } from '../../../src/protocol/codes.ts';
import {
  encodeInvoke,
  encodeMessage,
  encodeOk,
  encodePublishOk,
  encodeResult,
  invokeBytesMax,
  messageBytesMax,
  publishResultPrefix,
  RESULT_HEAD_BYTES_MAX,
} from '../../../src/protocol/encode.ts';
import { HeaderFault, MessageHeader, readHeader, scanMessage } from '../../../src/protocol/header.ts';
import { checkName, NameKind } from '../../../src/protocol/names.ts';
import { SKIP_TRUNCATED, skipValue } from '../../../src/protocol/skip.ts';
import { EVENT_KINDS, MESSAGE_SPECS, type MessageSpec, MessageType, SPEC_BY_TYPE } from '../../../src/protocol/types.ts';
import {
  backToBack,
  EXAMPLE_FRAMES,
  fieldBytes,
  frameBytes,
  GOLDEN_FRAMES,
  type GoldenFrame,
  hex,
} from '../../fixtures/frames/index.ts';

const TEXT = new TextEncoder();

function specOf(frame: GoldenFrame): MessageSpec {
  return SPEC_BY_TYPE[MessageType[frame.type]] as MessageSpec;
}

/** Where each element of the array begins, and the end: found by skipping, after the array's own head. */
function elementStarts(frame: GoldenFrame, bytes: Uint8Array): number[] {
  const starts = [fieldBytes(frame.fields[0]!).length];
  for (let element = 0; element < specOf(frame).arity; element++) starts.push(skipValue(bytes, starts.at(-1)!, bytes.length));
  return starts;
}

/** Integers over 32 bits must go out as integers; msgpackr takes them for floats unless they are BigInt. */
function packable(value: unknown): unknown {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0xffff_ffff) return BigInt(value);
  if (Array.isArray(value)) return value.map(packable);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, packable(inner)]));
}

t.test('every type has one example, in the order of the numbers, and every name is used once', async (t) => {
  t.equal(MESSAGE_SPECS.length, 29);
  t.same(
    EXAMPLE_FRAMES.map(({ type, example }) => [type, example]),
    MESSAGE_SPECS.map(({ name }) => [name, true]),
  );
  t.equal(new Set(GOLDEN_FRAMES.map(({ name }) => name)).size, GOLDEN_FRAMES.length);
  t.same(
    new Set(GOLDEN_FRAMES.filter(({ type }) => type === 'EVENT').map(({ value }) => value[3])),
    new Set(EVENT_KINDS),
    'every kind of event is there',
  );
});

for (const frame of GOLDEN_FRAMES) {
  t.test(`golden frame: ${frame.name}`, async (t) => {
    const bytes = frameBytes(frame);
    const spec = specOf(frame);
    const decoded = unpack(bytes);
    t.same(decoded, frame.value, `msgpackr reads ${hex(bytes)}`);
    const messages: unknown[] = [];
    readMessages(bytes, (message) => messages.push(message));
    t.same(messages, [frame.value], 'the SDK reads the same');

    t.equal(frame.value.length, spec.arity);
    t.equal(frame.value[0], spec.type);
    if (spec.hasId) t.ok(Number.isSafeInteger(frame.value[1]) && (frame.value[1] as number) >= 0, 'an id');

    const starts = elementStarts(frame, bytes);
    const header = new MessageHeader();
    t.equal(scanMessage(bytes, 0, bytes.length, header), true);
    t.match(header, {
      type: spec.type,
      arity: spec.arity,
      id: spec.hasId ? frame.value[1] : 0,
      fault: HeaderFault.NONE,
      end: bytes.length,
    });
    t.equal(header.bodyStart, starts[spec.headElements], 'the body begins behind the head');
    if (spec.key === 'none') t.equal(header.keyStart, header.keyEnd);
    else {
      t.same(bytes.slice(header.keyStart, header.keyEnd), TEXT.encode(frame.value[2] as string));
      const kind = checkName(bytes, header.keyStart, header.keyEnd);
      t.ok(kind === NameKind.EXACT || (kind === NameKind.PATTERN && spec.key === 'pattern'), 'a legal name');
    }

    // Every element begins where a field does: the fixture spells what it says.
    const fieldStarts = new Set<number>();
    let at = 0;
    for (const field of frame.fields) {
      fieldStarts.add(at);
      at += fieldBytes(field).length;
    }
    for (const start of starts.slice(0, -1)) t.ok(fieldStarts.has(start), `element at byte ${start} has a field of its own`);
    t.equal(starts.at(-1), at);

    if (frame.longForm !== true && frame.name !== 'PUBLISH of a float') {
      // BigInt goes out as int 64, which every decoder reads; golden frames have uint 64.
      t.equal(hex(pack(packable(frame.value))).replaceAll('d3 0', 'cf 0'), hex(bytes), 'the generic encoder writes the same');
    }
  });

  t.test(`every cut of the golden frame is seen: ${frame.name}`, async (t) => {
    const bytes = frameBytes(frame);
    const header = new MessageHeader();
    for (let cut = 0; cut < bytes.length; cut++) {
      if (skipValue(bytes, 0, cut) !== SKIP_TRUNCATED) t.fail(`skipValue took ${cut} of ${bytes.length} bytes`);
      if (scanMessage(bytes, 0, cut, header) || header.fault !== HeaderFault.FRAMING || header.skipFault !== SKIP_TRUNCATED)
        t.fail(`scanMessage took ${cut} of ${bytes.length} bytes`);
      // A copy that really ends there: reading past the end would show as another answer.
      const copy = bytes.slice(0, cut);
      if (scanMessage(copy, 0, cut, header) || header.fault !== HeaderFault.FRAMING)
        t.fail(`scanMessage took a copy of ${cut} bytes`);
      if (readHeader(copy, 0, cut, header) && header.bodyStart > cut) t.fail(`readHeader read past byte ${cut}`);
    }
  });
}

for (const { name, order } of [
  { name: 'in order', order: GOLDEN_FRAMES },
  { name: 'in reverse', order: GOLDEN_FRAMES.toReversed() },
]) {
  t.test(`golden frames back to back, ${name}`, async (t) => {
    const bytes = backToBack(order);
    t.same(
      unpackMany(bytes),
      order.map(({ value }) => value),
    );
    const header = new MessageHeader();
    let at = 0;
    for (const frame of order) {
      if (!scanMessage(bytes, at, bytes.length, header)) t.fail(`${frame.name} was not read behind its neighbour`);
      t.equal(header.type, MessageType[frame.type]);
      at = header.end;
    }
    t.equal(at, bytes.length);
  });
}

t.test('encodeMessage writes the golden MESSAGEs', async (t) => {
  const frames = GOLDEN_FRAMES.filter(({ type }) => type === 'MESSAGE');
  t.ok(frames.length > 3);
  for (const frame of frames) {
    const bytes = frameBytes(frame);
    const [, sub, topic, offset] = frame.value as [number, number, string | null, number];
    const starts = elementStarts(frame, bytes);
    const meta = frame.value[4] === null ? null : bytes.slice(starts[4], starts[5]);
    const topicBytes = topic === null ? null : TEXT.encode(topic);
    // Both ends of the payload inside a larger buffer, and the target too: offsets must be honoured.
    const source = Uint8Array.of(0xee, ...bytes.subarray(starts[5]), 0xee);
    const target = new Uint8Array(bytes.length + 20).fill(0xee);
    const end = encodeMessage(target, 5, sub, topicBytes, offset, meta, source, 1, source.length - 1);
    t.same(hex(target.subarray(5, end)), hex(bytes), frame.name);
    t.same([target[4], target[end]], [0xee, 0xee], 'nothing beside it is touched');
    t.ok(end - 5 <= messageBytesMax(topicBytes?.length ?? 0, meta?.length ?? 0, source.length - 2), 'inside the bound');
  }
});

t.test('encodeOk and encodePublishOk write the golden OKs', async (t) => {
  const target = new Uint8Array(1_024);
  for (const frame of GOLDEN_FRAMES.filter(({ type }) => type === 'OK')) {
    const bytes = frameBytes(frame);
    const result = bytes.slice(elementStarts(frame, bytes)[2]);
    t.equal(hex(target.subarray(3, encodeOk(target, 3, frame.value[1] as number, result))), hex(bytes), frame.name);
    const {
      epoch,
      offset,
      duplicate = false,
    } = (frame.value[2] ?? {}) as { epoch?: string; offset?: number; duplicate?: boolean };
    if (epoch === undefined || offset === undefined || 'messages' in (frame.value[2] as object)) continue;
    const prefix = publishResultPrefix(epoch, duplicate);
    t.equal(hex(target.subarray(0, encodePublishOk(target, 0, frame.value[1] as number, prefix, offset))), hex(bytes));
  }
});

t.test('encodeInvoke and encodeResult write the golden INVOKEs and RESULTs', async (t) => {
  for (const frame of GOLDEN_FRAMES.filter(({ type }) => type === 'INVOKE' || type === 'RESULT')) {
    const bytes = frameBytes(frame);
    const payloadStart = elementStarts(frame, bytes).at(-2)!;
    const source = Uint8Array.of(0xee, ...bytes.subarray(payloadStart), 0xee);
    const target = new Uint8Array(bytes.length + 60).fill(0xee);
    const [, id, service, method, options] = frame.value as [number, number, string, string, Record<string, unknown>];
    let end: number;
    if (frame.type === 'RESULT') {
      end = encodeResult(target, 5, id, frame.value[2] as boolean, source, 1, source.length - 1);
      t.ok(end - 5 <= RESULT_HEAD_BYTES_MAX + source.length - 2, 'inside the bound');
    } else {
      const {
        deadlineMs,
        caller,
        headers,
        window = 0,
      } = options as { deadlineMs: number; caller: string; headers?: object; window?: number };
      const invocation = {
        callId: id,
        serviceBytes: TEXT.encode(service),
        methodBytes: TEXT.encode(method),
        callerBytes: TEXT.encode(caller),
        headers: headers === undefined ? null : pack(headers),
        window,
      };
      end = encodeInvoke(target, 5, invocation, deadlineMs, source, 1, source.length - 1);
      t.ok(end - 5 <= invokeBytesMax(invocation, source.length - 2), 'inside the bound');
    }
    t.equal(hex(target.subarray(5, end)), hex(bytes), frame.name);
    t.same([target[4], target[end]], [0xee, 0xee], 'nothing beside it is touched');
  }
});

t.test('the longest INVOKE is inside its bound', async (t) => {
  const long = new Uint8Array(255).fill(0x61);
  const invocation = {
    callId: Number.MAX_SAFE_INTEGER,
    serviceBytes: long,
    methodBytes: long,
    callerBytes: long,
    headers: new Uint8Array(1_024).fill(0xc0),
    window: 1_048_576,
  };
  const target = new Uint8Array(4_096);
  const end = encodeInvoke(target, 0, invocation, 86_400_000, long, 0, 255);
  t.ok(end <= invokeBytesMax(invocation, 255), `${end}`);
});

t.test('golden ERRORs carry codes of the table', async (t) => {
  const codes = new Set<number>(Object.values(WIRE_ERRORS).map(({ code }) => code));
  for (const { value } of GOLDEN_FRAMES.filter(({ type }) => type === 'ERROR')) t.ok(codes.has(value[2] as number));
});

t.test('docs/protocol.md shows the golden frames (node scripts/generate-protocol-frames.ts writes them)', async (t) => {
  t.ok(isFramesSectionCurrent());
});
