/** The client's source against the small relay. */
import t from 'tap';
import * as full from '../../../src/client/full.ts';
import * as topics from '../../../src/client/index.ts';
import { clientContract } from './client.contract.ts';
import { MiniRelay } from './mini-relay.ts';
import { serviceContract } from './service.contract.ts';
import { workflowContract } from './workflow.contract.ts';

function openRelay() {
  const relay = new MiniRelay({ latencyMs: () => Math.random() * 3 });
  return {
    options: { url: 'ws://mini.test', webSocket: relay.WebSocket },
    prefix: 'contract',
    cutAll: () => relay.cutAll(),
    close: async () => {},
  };
}

await clientContract(t, async () => ({ ...openRelay(), createClient: topics.createClient }));
await clientContract(t, async () => ({ ...openRelay(), createClient: full.createClient }));
await serviceContract(t, async () => ({ ...openRelay(), createClient: full.createClient }));
await workflowContract(t, async () => ({ ...openRelay(), createClient: full.createClient }));
