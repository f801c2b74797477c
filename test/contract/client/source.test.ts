/** The client's source against the small relay. */
import t from 'tap';
import { createClient } from '../../../src/client/index.ts';
import { clientContract } from './client.contract.ts';
import { MiniRelay } from './mini-relay.ts';

await clientContract(t, async () => {
  const relay = new MiniRelay({ latencyMs: () => Math.random() * 3 });
  return {
    createClient,
    options: { url: 'ws://mini.test', webSocket: relay.WebSocket },
    prefix: 'contract',
    cutAll: () => relay.cutAll(),
    close: async () => {},
  };
});
