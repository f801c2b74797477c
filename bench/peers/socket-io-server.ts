/**
 * Peer: Socket.IO, as its "Performance tuning" page advises: `bufferutil` under its `ws`, the MessagePack parser for binary payloads (the default one
 * sends each in a WebSocket message of its own), the first HTTP request let go. WebSocket only, no compression.
 *
 *   node bench/peers/socket-io-server.ts --port 9001        prints `listening PORT`; SIGTERM ends it
 *
 * A connection joins the room named in its `auth` (the request is let go, so its query is not there any more); an event `m` goes to everyone in it, the sender too.
 * Not used: `eiows`, the other WebSocket server that the page names; it is compiled at installation, and what is not in the lock file is not compared.
 */
import { createServer } from 'node:http';
import process from 'node:process';
import { Server } from 'socket.io';
import * as msgpackParser from 'socket.io-msgpack-parser';
import { SOCKET_IO_EVENT } from '../../src/cli/bench/peers/socket-io.ts';
import { peerPort } from './port.ts';

const httpServer = createServer();
// configuration:begin
const io = new Server(httpServer, {
  transports: ['websocket'],
  parser: msgpackParser,
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
});
io.engine.on('connection', (rawSocket: { request: unknown }) => {
  rawSocket.request = null;
});
io.on('connection', (socket) => {
  const room = String(socket.handshake.auth['room']);
  socket.join(room);
  socket.on(SOCKET_IO_EVENT, (payload) => io.to(room).emit(SOCKET_IO_EVENT, payload));
});
// configuration:end
httpServer.listen(peerPort(), '127.0.0.1', () => {
  const address = httpServer.address();
  process.stdout.write(`listening ${typeof address === 'object' ? address?.port : address}\n`);
});
process.on('SIGTERM', () => process.exit(0));
