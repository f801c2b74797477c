/** The raw client over a real socket: the upgrade however it arrives, control frames, and every way a connection ends. */

import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { RawWebSocket, responseFault, writeFrameHead } from '../../../src/cli/bench/raw-websocket.ts';

interface Meeting {
  readonly client: RawWebSocket;
  readonly server: Socket;
  /** The request's head, without the empty line. */
  readonly request: string;
  /** What the handler was told. */
  readonly events: string[];
  /** What the client sent after its request. */
  readonly received: Buffer[];
  accept(rest?: Uint8Array): Buffer;
}

function acceptFor(request: string): string {
  const key = /^Sec-WebSocket-Key: (.*)$/m.exec(request)?.[1]?.trim() ?? '';
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const endMs = performance.now() + 5_000; !condition(); ) {
    if (performance.now() > endMs) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A client that has sent its request to a server that has not answered yet. */
async function meet(t: Test, subprotocol: string | null = 'relay.v1'): Promise<Meeting> {
  const events: string[] = [];
  const received: Buffer[] = [];
  let request = '';
  let server: Socket | null = null;
  const listener = createServer((socket) => {
    server = socket;
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      if (request.includes('\r\n\r\n')) received.push(chunk);
      else request += chunk.toString('latin1');
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const client = new RawWebSocket(
    7,
    { host: '127.0.0.1', port, path: '/p?q=1', subprotocol, localAddress: null },
    {
      socketOpened: (socket) => events.push(`opened ${socket.tag}`),
      socketMessage: (_, bytes, start, end) => events.push(`message ${Buffer.from(bytes.subarray(start, end)).toString()}`),
      socketClosed: (_, code, reason) => events.push(`closed ${code} ${reason}`),
    },
  );
  t.teardown(() => {
    client.destroy();
    server?.destroy();
    listener.close();
  });
  await until(() => request.includes('\r\n\r\n'), 'the request is in');
  const accept = (rest: Uint8Array = new Uint8Array(0)): Buffer =>
    Buffer.concat([
      Buffer.from(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(request)}\r\n` +
          `${subprotocol === null ? '' : `Sec-WebSocket-Protocol: ${subprotocol}\r\n`}\r\n`,
      ),
      rest,
    ]);
  return { client, server: server as unknown as Socket, request, events, received, accept };
}

function serverFrame(first: number, text: string): Buffer {
  return Buffer.concat([Buffer.from([first, text.length]), Buffer.from(text)]);
}

t.test('the request is a proper upgrade', async (t) => {
  const { request } = await meet(t);
  t.match(request, /^GET \/p\?q=1 HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/);
  t.match(request, /^Sec-WebSocket-Version: 13\r$/m);
  t.match(request, /^Sec-WebSocket-Protocol: relay\.v1\r$/m);
  t.match(request, /^Sec-WebSocket-Key: [A-Za-z0-9+/]{22}==\r$/m);
});

t.test('the answer and the frames behind it may come in any pieces', async (t) => {
  const { server, events, accept } = await meet(t);
  const stream = accept(Buffer.concat([serverFrame(0x82, 'one'), serverFrame(0x82, 'two')]));
  for (let at = 0; at < stream.length; at += 3) {
    server.write(stream.subarray(at, at + 3));
    if (at % 30 === 0) await new Promise((resolve) => setTimeout(resolve, 1)); // Separate reads for at least some of them.
  }
  await until(() => events.length === 3, 'both messages are in');
  t.strictSame(events, ['opened 7', 'message one', 'message two']);
});

t.test('the answer and two frames in one piece', async (t) => {
  const { server, events, accept } = await meet(t, null);
  server.write(accept(Buffer.concat([serverFrame(0x82, 'one'), serverFrame(0x82, 'two')])));
  await until(() => events.length === 3, 'both messages are in');
  t.strictSame(events, ['opened 7', 'message one', 'message two']);
});

t.test('a ping is answered with its own bytes, masked with key 0', async (t) => {
  const { server, received, accept } = await meet(t);
  server.write(accept(serverFrame(0x89, 'hello')));
  await until(() => Buffer.concat(received).length >= 11, 'the pong is in');
  t.strictSame(Buffer.concat(received), Buffer.concat([Buffer.from([0x8a, 0x85, 0, 0, 0, 0]), Buffer.from('hello')]));
});

t.test('a close is answered with its code and told once', async (t) => {
  const { server, received, events, accept } = await meet(t);
  server.write(accept(Buffer.concat([Buffer.from([0x88, 6, 0x0f, 0xa2]), Buffer.from('slow'), serverFrame(0x82, 'late')])));
  await until(() => events.length === 2, 'the close is told');
  t.strictSame(events, ['opened 7', 'closed 4002 slow']);
  await until(() => Buffer.concat(received).length >= 8, 'the answer is in');
  t.strictSame(Buffer.concat(received), Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa2]));
  server.destroy();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(events.length, 2);
});

t.test('a close without a code is answered without one', async (t) => {
  const { server, received, events, accept } = await meet(t);
  server.write(accept(Buffer.from([0x88, 0])));
  await until(() => events.length === 2 && Buffer.concat(received).length >= 6, 'the answer is in');
  t.equal(events[1], 'closed 1005 ');
  t.strictSame(Buffer.concat(received), Buffer.from([0x88, 0x80, 0, 0, 0, 0]));
});

for (const { name, bytes, want } of [
  { name: 'a text message', bytes: serverFrame(0x81, 'x'), want: 'closed 1002 the server sent a text message' },
  {
    name: 'a masked frame',
    bytes: Buffer.from([0x82, 0x80, 0, 0, 0, 0]),
    want: 'closed 1002 the server sent a masked frame from a server',
  },
]) {
  t.test(`${name} ends the connection`, async (t) => {
    const { server, events, accept } = await meet(t);
    server.write(accept(bytes));
    await until(() => events.length === 2, 'the end is told');
    t.equal(events[1], want);
  });
}

t.test('a connection that breaks is 1006, before and after the upgrade', async (t) => {
  const after = await meet(t);
  after.server.write(after.accept());
  await until(() => after.events.length === 1, 'it is open');
  after.server.resetAndDestroy();
  await until(() => after.events.length === 2, 'the end is told');
  t.match(after.events[1], /^closed 1006 /);
  t.notOk(after.client.isOpen);
  t.ok(after.client.send(new Uint8Array(4)), 'sending to nobody is no error');

  const before = await meet(t);
  before.server.end();
  await until(() => before.events.length === 1, 'the end is told');
  t.match(before.events[0], /^closed 1006 /);
});

t.test('a server that is not there is 1006 with the reason', async (t) => {
  const events: string[] = [];
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await new Promise((resolve) => listener.close(resolve));
  new RawWebSocket(
    1,
    { host: '127.0.0.1', port, path: '/', subprotocol: null, localAddress: null },
    {
      socketOpened: () => events.push('opened'),
      socketMessage: () => events.push('message'),
      socketClosed: (_, code, reason) => events.push(`closed ${code} ${reason}`),
    },
  );
  await until(() => events.length > 0, 'the end is told');
  t.match(events, [/^closed 1006 .*ECONNREFUSED/]);
});

t.test('who leaves says 1000 and hears nothing more', async (t) => {
  const { client, server, events, received, accept } = await meet(t);
  server.write(accept());
  await until(() => client.isOpen, 'it is open');
  client.leave();
  server.write(serverFrame(0x82, 'late'));
  await until(() => Buffer.concat(received).length >= 8, 'the close is in');
  t.strictSame(Buffer.concat(received), Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]));
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.strictSame(events, ['opened 7']);
});

t.test('a paused client reads nothing until it resumes', async (t) => {
  const { client, server, events, accept } = await meet(t);
  server.write(accept());
  await until(() => client.isOpen, 'it is open');
  client.pauseReading();
  server.write(serverFrame(0x82, 'held'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.strictSame(events, ['opened 7']);
  client.resumeReading();
  await until(() => events.length === 2, 'the message is in');
  t.equal(events[1], 'message held');
});

const GOOD = `HTTP/1.1 101 Switching Protocols\r\nSEC-WEBSOCKET-ACCEPT: ${acceptFor(`Sec-WebSocket-Key: ${Buffer.from('clari-relay-test').toString('base64')}`)}`;
for (const { name, head, subprotocol, want } of [
  { name: 'header names in any case', head: GOOD, subprotocol: null, want: null },
  {
    name: 'a refusal',
    head: 'HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1',
    subprotocol: null,
    want: /refused the upgrade: HTTP\/1\.1 503/,
  },
  {
    name: 'a wrong answer to the key',
    head: 'HTTP/1.1 101 x\r\nSec-WebSocket-Accept: x',
    subprotocol: null,
    want: /wrong Sec-WebSocket-Accept/,
  },
  { name: 'no answer to the key', head: 'HTTP/1.1 101 x', subprotocol: null, want: /wrong Sec-WebSocket-Accept/ },
  { name: 'an extension', head: `${GOOD}\r\nSec-WebSocket-Extensions: permessage-deflate`, subprotocol: null, want: /extension/ },
  { name: 'no subprotocol', head: GOOD, subprotocol: 'relay.v1', want: /speaks subprotocol '', wanted 'relay.v1'/ },
  { name: 'a line without a colon', head: `${GOOD}\r\nnonsense`, subprotocol: null, want: null },
]) {
  t.test(`the answer to the upgrade: ${name}`, async (t) => {
    const fault = responseFault(head, subprotocol);
    if (want === null) t.equal(fault, null);
    else t.match(fault, want);
  });
}

for (const { bodyBytes, want } of [
  { bodyBytes: 0, want: '8280' },
  { bodyBytes: 125, want: '82fd' },
  { bodyBytes: 126, want: '82fe007e' },
  { bodyBytes: 65_535, want: '82feffff' },
  { bodyBytes: 65_536, want: '82ff0000000000010000' },
]) {
  t.test(`the head of a client frame with ${bodyBytes} bytes`, async (t) => {
    const target = new Uint8Array(14).fill(0xee);
    const at = writeFrameHead(target, bodyBytes);
    t.equal(Buffer.from(target.subarray(0, at)).toString('hex'), `${want}00000000`);
  });
}
