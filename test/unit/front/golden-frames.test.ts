/** The golden frames in conversation: a real front and lane answer each of them as docs/protocol.md says. */
import t from 'tap';
import { SPEC_BY_TYPE } from '../../../src/protocol/types.ts';
import { backToBack, EXAMPLE_FRAMES, frameBytes, GOLDEN_FRAMES, type GoldenFrame } from '../../fixtures/frames/index.ts';
import { Rig } from './http-rig.ts';

/** Frames that are right as bytes and answered with an error here, and which. */
const REFUSED: Readonly<Record<string, number>> = {
  UNSUBSCRIBE: 103, // Nobody has subscribed to the pattern.
  START: 103, // Nobody has defined the workflow.
  RUN: 103,
  ACK: 103, // Nobody is a member of a group.
  'ACK of several, to be given again later': 103,
  'HELLO without options': 112, // HELLO was said.
  'HELLO with everything': 112,
  CALL: 109, // Nobody serves anything here.
  'CALL with every option, and one nobody knows': 109,
  'CALL without options, its method in a longer form than need be': 109,
  DEREGISTER: 103,
  HEARTBEAT: 103,
  'HEARTBEAT without options': 103,
};
/** Nobody waits for an answer to these: they have none, where nothing is wrong with them. */
const UNANSWERED = ['RETURN', 'CANCEL', 'CREDIT'];

function isOfClient(frame: GoldenFrame): boolean {
  return SPEC_BY_TYPE[frame.value[0] as number]?.sender === 'client';
}

function converse(messages: readonly Uint8Array[]): unknown[][] {
  const rig = new Rig();
  const client = rig.connect('golden');
  for (const message of messages) {
    rig.front.onMessage([...rig.front.sessions].at(-1)!, message, true);
    rig.run();
  }
  return [...client.received(32), ...client.received(33)].slice(1); // The first one is the answer to the rig's own HELLO.
}

for (const frame of GOLDEN_FRAMES.filter((candidate) => candidate.type !== 'HELLO' || candidate.example !== true)) {
  t.test(`a relay answers: ${frame.name}`, async (t) => {
    const [type, id] = frame.value as [number, number];
    const spec = SPEC_BY_TYPE[type];
    const replies = converse([frameBytes(frame)]);
    const idOnWire = spec?.hasId ? id : 0;
    if (!isOfClient(frame)) t.match(replies, [[33, idOnWire, 100, /is the relay's to send/]]);
    else if (UNANSWERED.includes(frame.type)) t.same(replies, []);
    else if (frame.name in REFUSED) t.match(replies, [[33, id, REFUSED[frame.name]]]);
    else if (id === 0) t.same(replies, [], 'id 0: success is silent');
    else t.match(replies, [[32, id]]);
  });
}

t.test('all of them in one WebSocket message get the same answers', async (t) => {
  const frames = EXAMPLE_FRAMES.filter((frame) => isOfClient(frame) && frame.type !== 'HELLO');
  const together = converse([backToBack(frames)]);
  const apart = converse(frames.map(frameBytes));
  const inShort = (replies: unknown[][]): unknown[][] => replies.map(([type, id]) => [type, id]).sort();
  t.same(inShort(together), inShort(apart));
  t.equal(together.length, frames.filter(({ type }) => !UNANSWERED.includes(type)).length);
});
