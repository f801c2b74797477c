/** What the four services have in common: `node SERVICE.ts [URL]` serves until it is told to stop, and then finishes what it has begun. */
import process from 'node:process';
import { createClient, type ServiceHandlers } from '../../src/client/full.ts';

export async function serve(name: string, handlers: ServiceHandlers): Promise<void> {
  const client = createClient({ url: process.argv[2] ?? 'ws://127.0.0.1:8080', client: `${name}-${process.pid}` });
  // Every method here may run twice: it computes and keeps nothing.
  const service = client.service(name, handlers, { version: '1.0.0', capacity: 4, idempotent: true, heartbeatMs: 5_000 });
  await client.connect();
  await service.ready();
  console.log(`${name}: serving as ${process.pid}`);
  const stop = async (): Promise<void> => {
    await service.stop();
    await client.close();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}
