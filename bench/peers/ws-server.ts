/**
 * Peer: `ws`, as its README advises for speed: no compression (its default), the native masking of `bufferutil`, binary messages passed on as they came.
 *
 *   node bench/peers/ws-server.ts --port 9001        prints `listening PORT`; SIGTERM ends it
 *
 * ws://host:port/?room=R joins R; every message goes to everyone in R, the sender too. `ws` has no rooms: a set of sockets per room, sent to one by
 * one as in its broadcast example.
 */
import process from 'node:process';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { peerPort } from './port.ts';

const rooms = new Map<string, Set<WebSocket>>();

// configuration:begin
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: peerPort(),
  perMessageDeflate: false,
  clientTracking: false, // The rooms are the only lists of sockets.
  skipUTF8Validation: true, // Only text has to be valid, and there is none.
});
// configuration:end

server.on('connection', (socket, request) => {
  const room = new URL(request.url ?? '/', 'ws://localhost').searchParams.get('room') ?? '';
  if (room === '') {
    socket.close(1008, 'room is missing');
    return;
  }
  const members = rooms.get(room) ?? new Set();
  rooms.set(room, members);
  members.add(socket);
  socket.on('message', (message: RawData, isBinary: boolean) => {
    for (const member of members) if (member.readyState === member.OPEN) member.send(message, { binary: isBinary });
  });
  socket.on('close', () => {
    members.delete(socket);
    if (members.size === 0) rooms.delete(room);
  });
  socket.on('error', () => {}); // A cut connection; 'close' follows.
});
server.on('listening', () => {
  const address = server.address();
  process.stdout.write(`listening ${typeof address === 'object' ? address?.port : address}\n`);
});
process.on('SIGTERM', () => process.exit(0));
