/**
 * A relay small enough to be read at a glance, and able to misbehave on demand: what the bench's own account is tested against.
 *
 * Speaks HELLO, SUBSCRIBE (with `since`), PUBLISH over uWebSockets.js, one topic log per room. A fault is asked for per message and receiver,
 * by its place in the bench's schedule: in which order the messages of several processes arrive is up to the machine.
 */
import { SEQUENCE_OFFSET_BYTES, STREAM_OFFSET_BYTES } from '../../../src/cli/bench/payload.ts';
import { pack, unpackMany } from '../../../src/protocol/codec.ts';
import { readUint32 } from '../../../src/protocol/skip.ts';
import { loadUws } from '../../../src/transport/uws.ts';

export type Fault = 'none' | 'drop' | 'twice' | 'hold';

export interface FakeRelayOptions {
  /** Message streams of the whole run: what a message's place in the schedule is counted with. Default 1. */
  readonly streams?: number;
  /** Asked for each message, counted from 1, and each member of its room, counted from 0. `hold`: after the next message to the same socket. */
  readonly faultOf?: (message: number, member: number) => Fault;
  /** Messages to refuse with 106, counted from 1. */
  readonly refuses?: (message: number) => boolean;
  /** Recovery answers `recovered: false` and the messages do not come. */
  readonly forgetsHistory?: boolean;
  /** Several messages of one socket go out in one frame. */
  readonly batches?: boolean;
  /** Answers HELLO with this error code. */
  readonly helloError?: number;
  /** Closes this many of the room's other connections, with 4002, behind the given message. */
  readonly closesAt?: { readonly message: number; readonly count: number };
}

interface Peer {
  readonly send: (message: Uint8Array) => unknown;
  readonly close: (code: number) => void;
  held: Uint8Array | null;
  readonly queue: Uint8Array[];
}

interface User {
  peer: Peer | null;
  readonly joined: Set<string>;
}

export interface FakeRelay {
  readonly url: string;
  readonly counts: { published: number; dropped: number; doubled: number; held: number; closed: number; pongs: number };
  stop(): void;
}

const EPOCH = 'epoch-1';

export function startFakeRelay(options: FakeRelayOptions = {}): Promise<FakeRelay> {
  const counts = { published: 0, dropped: 0, doubled: 0, held: 0, closed: 0, pongs: 0 };
  const rooms = new Map<string, { members: Set<Peer>; log: unknown[] }>();
  const roomOf = (name: string) => {
    const room = rooms.get(name) ?? { members: new Set<Peer>(), log: [] };
    rooms.set(name, room);
    return room;
  };
  const flush = (peer: Peer): void => {
    if (peer.queue.length === 0) return;
    const frames = options.batches ? [Buffer.concat(peer.queue)] : [...peer.queue];
    peer.queue.length = 0;
    for (const frame of frames) peer.send(frame);
  };
  const messageOf = (log: readonly unknown[], offset: number, isReplay: boolean) =>
    pack([34, 1, null, offset, isReplay ? { recovered: true } : null, log[offset - 1]]);
  const deliver = (peer: Peer, message: Uint8Array, fault: Fault): void => {
    if (fault === 'drop') counts.dropped++;
    else if (fault === 'hold' && peer.held === null) {
      counts.held++;
      peer.held = message;
    } else {
      peer.queue.push(message);
      if (fault === 'twice') {
        counts.doubled++;
        peer.queue.push(message);
      }
      if (peer.held !== null) peer.queue.push(peer.held);
      peer.held = null;
    }
  };
  const handle = (peer: Peer, joined: Set<string>, message: readonly unknown[]): void => {
    const [type, id, key, third, payload] = message;
    if (type === 1) {
      if (options.helloError !== undefined) peer.queue.push(pack([33, id, options.helloError, 'not you', null]));
      else peer.queue.push(pack([32, id, { session: 's', version: 1 }]));
    } else if (type === 3) {
      const name = String(key);
      const room = roomOf(name);
      const since = (third as { since?: { offset: number } } | null)?.since;
      room.members.add(peer);
      joined.add(name);
      const recovered = since !== undefined && !options.forgetsHistory;
      const recovery = since === undefined ? {} : recovered ? { recovered } : { recovered, reason: 'EPOCH_CHANGED' };
      peer.queue.push(pack([32, id, { sub: 1, epoch: EPOCH, offset: room.log.length, replay: 0, ...recovery }]));
      if (recovered)
        for (let offset = since.offset + 1; offset <= room.log.length; offset++)
          peer.queue.push(messageOf(room.log, offset, true));
    } else if (type === 2) {
      counts.published++;
      const bytes = payload as Uint8Array;
      const sequence = readUint32(bytes, SEQUENCE_OFFSET_BYTES);
      const number = sequence * (options.streams ?? 1) + readUint32(bytes, STREAM_OFFSET_BYTES) + 1;
      if (options.refuses?.(number)) {
        peer.queue.push(pack([33, id, 106, 'full', { retryAfterMs: 1 }]));
        return;
      }
      const room = roomOf(String(key));
      room.log.push(payload);
      const delivery = messageOf(room.log, room.log.length, false);
      for (const [index, member] of [...room.members].entries()) {
        deliver(member, delivery, options.faultOf?.(number, index) ?? 'none');
      }
      for (const member of room.members) if (member !== peer) flush(member);
      if (id !== 0) peer.queue.push(pack([32, id, { epoch: EPOCH, offset: room.log.length }]));
      if (options.closesAt?.message !== number) return;
      const others = [...room.members].filter((member) => member !== peer);
      for (const member of others.slice(-options.closesAt.count)) {
        counts.closed++;
        member.close(4002);
      }
    }
  };
  const uws = loadUws();
  const app = uws.App();
  app.ws<User>('/v1/connect', {
    compression: uws.DISABLED,
    maxPayloadLength: 1_000_000,
    idleTimeout: 60,
    maxBackpressure: 64 * 1024 * 1024,
    closeOnBackpressureLimit: false,
    sendPingsAutomatically: true,
    upgrade: (response, request, context) => {
      const header = (name: string) => request.getHeader(`sec-websocket-${name}`);
      response.upgrade<User>({ peer: null, joined: new Set() }, header('key'), header('protocol'), header('extensions'), context);
    },
    open: (socket) => {
      const peer: Peer = {
        send: (bytes) => socket.send(bytes, true, false),
        close: (code) => socket.end(code, ''),
        held: null,
        queue: [],
      };
      socket.getUserData().peer = peer;
      socket.ping(); // The bench has to cope with control frames between messages.
    },
    message: (socket, bytes) => {
      const { peer, joined } = socket.getUserData();
      if (peer === null) return;
      for (const message of unpackMany(new Uint8Array(bytes).slice())) handle(peer, joined, message as unknown[]);
      flush(peer);
    },
    pong: () => {
      counts.pongs++;
    },
    ping: () => {},
    drain: () => {},
    close: (socket) => {
      const { peer, joined } = socket.getUserData();
      if (peer !== null) for (const name of joined) roomOf(name).members.delete(peer);
    },
  });
  return new Promise((resolve, reject) => {
    app.listen('127.0.0.1', 0, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (token) => {
      if (token === false) return reject(new Error('cannot listen'));
      resolve({ url: `ws://127.0.0.1:${uws.us_socket_local_port(token)}/v1/connect`, counts, stop: () => app.close() });
    });
  });
}
