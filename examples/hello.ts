import { createClient } from '../src/client/index.ts';

const client = createClient({ url: process.argv[2] ?? 'ws://127.0.0.1:8080' });
await client.connect();

const room = client.subscribe('chat.lobby');
await room.ready();
const { epoch, offset } = (await client.publish('chat.lobby', { text: 'hello' })) ?? {};
for await (const message of room) {
  console.log(message.payload, message.offset === offset, message.epoch === epoch);
  break;
}
await client.close();
