/**
 * Worker: the entry of one generator process. Obeys the coordinator (run.ts) over IPC and dies with it.
 */
import { Generator } from './generator.ts';
import type { FromWorker, ToWorker } from './ipc.ts';

let generator: Generator | null = null;

function tell(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}

let hasFailed = false;

/** The first reason counts; a thousand connections that fail for it need not all say so. */
function fail(text: string): void {
  if (hasFailed) return;
  hasFailed = true;
  tell({ name: 'failed', text });
}

async function obey(message: ToWorker): Promise<void> {
  switch (message.name) {
    case 'plan':
      generator = new Generator(message.options, message.processIndex, message.runId, fail);
      await generator.connectAll();
      tell({ name: 'ready', connectHistogram: generator.connectHistogram, connectRetries: generator.connectRetries });
      break;
    case 'start':
      await generator?.run(message.t0Us);
      tell({ name: 'drained', refused: generator?.refused ?? [] });
      break;
    case 'finish':
      if (generator !== null) tell({ name: 'done', report: await generator.finish(message.refused) });
      generator?.close();
      break;
    default:
      message satisfies never;
  }
}

process.on('message', (message) => {
  obey(message as ToWorker).catch((error: unknown) =>
    fail(error instanceof Error ? (error.stack ?? error.message) : String(error)),
  );
});
// The coordinator is done with us, or gone: no generator may outlive it.
process.on('disconnect', () => {
  generator?.close();
  process.exit(0);
});
// The coordinator may go while something is being said to it; 'disconnect' follows.
process.on('error', () => {});
// Ctrl-C reaches the whole process group: the coordinator decides.
process.on('SIGINT', () => {});
