/** Progress of a run, from its events alone: bars that redraw themselves on a terminal, a line for each stage elsewhere. */
import process from 'node:process';
import type { RunEvent } from '../../src/client/full.ts';

interface StageProgress {
  readonly name: string;
  steps: number;
  inFlight: number;
  done: number;
  retries: number;
  state: 'waiting' | 'running' | 'done' | 'failed';
}

const BAR_CHARACTERS = 32;
const MARKS = { waiting: ' ', running: '>', done: '+', failed: 'x' } as const;

export class Progress {
  readonly #stages: readonly StageProgress[];
  readonly #redraws: boolean;
  #drawnLines = 0;

  constructor(names: readonly string[], redraws = process.stdout.isTTY === true) {
    this.#stages = names.map((name) => ({ name, steps: 0, inFlight: 0, done: 0, retries: 0, state: 'waiting' }));
    this.#redraws = redraws;
  }

  take(event: RunEvent): void {
    const stage = 'stage' in event ? this.#stages.find(({ name }) => name === event.stage) : undefined;
    if (stage !== undefined) note(stage, event);
    if (this.#redraws) this.#draw();
    else if (stage !== undefined && event.kind.startsWith('stage')) console.log(lineOf(stage));
  }

  #draw(): void {
    const up = this.#drawnLines === 0 ? '' : `\x1b[${this.#drawnLines}A`;
    const lines = this.#stages.map((stage) => `\x1b[2K${lineOf(stage)}\n`);
    process.stdout.write(up + lines.join(''));
    this.#drawnLines = lines.length;
  }
}

function note(stage: StageProgress, event: RunEvent): void {
  switch (event.kind) {
    case 'stageStarted':
      Object.assign(stage, { state: 'running', steps: event.steps });
      break;
    case 'stepStarted':
      stage.inFlight++;
      break;
    case 'stepSucceeded':
      stage.inFlight--;
      stage.done++;
      break;
    case 'stepRetried':
      stage.inFlight--;
      stage.retries++;
      break;
    case 'stepFailed':
      stage.inFlight--;
      break;
    case 'stageSucceeded':
      stage.state = 'done';
      break;
    case 'stageFailed':
      stage.state = 'failed';
  }
}

function lineOf({ name, steps, inFlight, done, retries, state }: StageProgress): string {
  const filled = steps === 0 ? 0 : Math.round((BAR_CHARACTERS * done) / steps);
  const bar = '#'.repeat(filled).padEnd(BAR_CHARACTERS, '.');
  const more = [inFlight > 0 ? `${inFlight} in flight` : '', retries > 0 ? `${retries} tried again` : ''].filter(
    (text) => text !== '',
  );
  return `${MARKS[state]} ${name.toUpperCase().padEnd(7)} [${bar}] ${done}/${steps}  ${more.join(', ')}`.trimEnd();
}
