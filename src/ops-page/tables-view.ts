/** Everything that is a list: lanes, slow sessions, drops, services, workflows, health. */
import { type LaneCondition, laneCondition } from '../ops/conditions.ts';
import type { InstanceState, OpsState, ServiceState, WorkflowState } from '../ops/ops-state.ts';
import { bytesText, countText, durationText, msText, percentText, rateText } from '../ops/words.ts';
import { byId, create, setText, showItems, type Tone } from './dom.ts';
import { type Cell, type Row, Table } from './table.ts';

const LANE_TONES: Readonly<Record<LaneCondition, Tone>> = { running: 'ok', silent: 'warn', stalled: 'bad', replacing: 'bad' };
/** Of a ring's or a lane's capacity. */
const BUSY_SHARE = 0.5;
const FULL_SHARE = 0.8;
/** Of services and of one service's instances: what a page can show and a person can read. */
const ROWS_MAX = 200;

const number = (title: string) => ({ title, number: true }) as const;

export class TablesView {
  readonly #lanes = new Table(
    byId('lanes-table'),
    'Each lane with its two rings: what waits for it, and what it has waiting for the front',
    [
      { title: 'Lane' },
      { title: 'State' },
      number('Silent'),
      { title: 'Utilisation', span: true },
      { title: 'Ingress ring', span: true },
      { title: 'Egress ring', span: true },
      number('Publishes/s'),
      number('Topics'),
      number('Sessions'),
      number('Calls'),
      number('Restarts'),
    ],
    'No lanes.',
  );
  readonly #slow = new Table(
    byId('slow-table'),
    'Connections that read more slowly than they are written to, most behind first',
    [{ title: 'Client' }, number('Session'), number('Queued'), number('Lag'), number('Subscriptions'), { title: 'Policy' }],
    'Every client keeps up.',
  );
  readonly #drops = new Table(
    byId('drops-table'),
    'Messages not handed to a subscriber, by reason',
    [{ title: 'Reason' }, number('Count')],
    'Nothing was dropped.',
  );
  readonly #dropTopics = new Table(
    byId('drop-topics-table'),
    'Topics with most drops',
    [{ title: 'Topic' }, number('Count')],
    '',
  );
  readonly #services = new Table(
    byId('services-table'),
    'Services; a name opens its instances',
    [
      { title: 'Service' },
      { title: 'Health', span: true },
      { title: 'Version' },
      number('Instances'),
      number('In flight'),
      number('Waiting'),
      number('Calls'),
      number('Errors'),
      number('P50 ms'),
      number('P99 ms'),
    ],
    'No services are registered.',
  );
  readonly #health = new Table(
    byId('health-table'),
    'What the relay needs in order to be ready',
    [{ title: 'Component' }, { title: 'State' }, { title: 'Detail', span: true }],
    'No components.',
  );
  readonly #workflows = new WorkflowsView(byId('workflows-list'));
  readonly #open = new Set<string>();

  show(state: OpsState): void {
    this.#showLanes(state);
    this.#slow.show(
      state.slow.map(({ session, client, queuedBytes, lagMs, subscriptions, policy }) => ({
        key: String(session),
        cells: [
          client || '(no name)',
          String(session),
          bytesText(queuedBytes),
          durationText(lagMs),
          countText(subscriptions),
          policy,
        ],
      })),
    );
    const drops = Object.entries(state.drops).filter(([, count]) => count > 0);
    this.#drops.show(drops.map(([reason, count]) => ({ key: reason, cells: [reason, countText(count)] })));
    this.#dropTopics.show(state.dropTopics.map(([topic, count]) => ({ key: topic, cells: [topic, countText(count)] })));
    this.#showServices(state);
    this.#workflows.show(state.workflows);
    this.#health.show(
      state.health.components.map(({ name, ok, detail }) => ({
        key: name,
        tone: ok ? null : 'bad',
        cells: [name, { kind: 'pill', text: ok ? 'ok' : 'not ok', tone: ok ? 'ok' : 'bad' }, detail],
      })),
    );
  }

  #showLanes(state: OpsState): void {
    this.#lanes.show(
      state.lanes.map((lane) => {
        const condition = laneCondition(state, lane);
        const tone = LANE_TONES[condition];
        return {
          key: String(lane.lane),
          tone: tone === 'ok' ? null : tone,
          cells: [
            `Lane ${lane.lane}`,
            { kind: 'pill', text: condition, tone },
            durationText(lane.silentMs),
            meter(lane.utilisation, percentText(lane.utilisation)),
            meter(lane.ingressUsedBytes / lane.ingressBytes, bytesText(lane.ingressUsedBytes)),
            meter(lane.egressUsedBytes / lane.egressBytes, bytesText(lane.egressUsedBytes)),
            rateText(lane.publishes),
            countText(lane.topics),
            countText(lane.sessions),
            countText(lane.callsInFlight),
            countText(lane.restarts),
          ],
        } satisfies Row;
      }),
    );
  }

  #showServices(state: OpsState): void {
    const rows = state.services.slice(0, ROWS_MAX).flatMap((service) => {
      const isOpen = this.#open.has(service.service);
      const toggle = (): void => {
        if (!this.#open.delete(service.service)) this.#open.add(service.service);
        this.#showServices(state);
      };
      return [
        serviceRow(service, isOpen, toggle),
        ...(isOpen ? (service.list ?? []).slice(0, ROWS_MAX).map(instanceRow(service)) : []),
      ];
    });
    this.#services.show(rows);
  }
}

function serviceRow(service: ServiceState, isOpen: boolean, toggle: () => void): Row {
  const { ok, degraded, failing } = service;
  const words = [`${ok} ok`, degraded > 0 ? `${degraded} degraded` : '', failing > 0 ? `${failing} failing` : ''];
  const tone: Tone = failing > 0 ? 'bad' : degraded > 0 ? 'warn' : 'ok';
  return {
    key: `service ${service.service}`,
    tone: failing > 0 && ok + degraded === 0 ? 'bad' : null,
    cells: [
      { kind: 'expand', text: service.service, isOpen, toggle },
      { kind: 'pill', text: words.filter((word) => word !== '').join(', '), tone },
      service.versions.join(', '),
      countText(service.instances),
      countText(service.inFlight),
      countText(service.waiting),
      countText(service.calls),
      countText(service.errors),
      msText(service.p50Ms),
      msText(service.p99Ms),
    ],
  };
}

const instanceRow =
  ({ service }: ServiceState) =>
  (instance: InstanceState): Row => {
    const { health, breaker, ejected } = instance;
    const words = [health, breaker === 'closed' ? '' : `breaker ${breaker}`, ejected ? 'ejected' : ''];
    const tone: Tone = health === 'failing' || ejected || breaker === 'open' ? 'bad' : health === 'degraded' ? 'warn' : 'ok';
    return {
      key: `instance ${service} ${instance.instance}`,
      isInner: true,
      cells: [
        `${instance.client} #${instance.instance}`,
        { kind: 'pill', text: words.filter((word) => word !== '').join(', '), tone },
        instance.version,
        `load ${percentText(instance.load)}`,
        `${countText(instance.inFlight)} of ${countText(instance.capacity)}`,
        '–',
        countText(instance.calls),
        countText(instance.errors),
        msText(instance.p50Ms),
        msText(instance.p99Ms),
      ],
    };
  };

function meter(share: number, text: string): Cell {
  return { kind: 'meter', share, text, tone: share >= FULL_SHARE ? 'bad' : share >= BUSY_SHARE ? 'warn' : null };
}

/** A heading, the runs by state and a table of stages for each workflow. */
class WorkflowsView {
  readonly #host: HTMLElement;
  readonly #empty = create('p', 'empty', 'No workflows are defined.');
  readonly #parts = new Map<string, { readonly root: HTMLElement; readonly runs: HTMLElement; readonly stages: Table }>();

  constructor(host: HTMLElement) {
    this.#host = host;
    host.append(this.#empty);
  }

  show(workflows: readonly WorkflowState[]): void {
    this.#empty.hidden = workflows.length > 0;
    const names = new Set(workflows.map(({ workflow }) => workflow));
    for (const [name, { root }] of this.#parts) {
      if (names.has(name)) continue;
      root.remove();
      this.#parts.delete(name);
    }
    for (const { workflow, runs, stages } of workflows) {
      const part = this.#parts.get(workflow) ?? this.#add(workflow);
      showItems(
        part.runs,
        Object.entries(runs).map(([state, count]) => ({ text: `${countText(count)} ${state}` })),
      );
      part.stages.show(
        stages.map(({ stage, running, waiting, failed }, index) => ({
          key: stage,
          cells: [
            `${index + 1}. ${stage}`,
            countText(running),
            countText(waiting),
            failed > 0 ? { kind: 'pill', text: countText(failed), tone: 'bad' } : { kind: 'pill', text: '0', tone: null },
          ],
        })),
      );
    }
  }

  #add(workflow: string) {
    const heading = create('h3');
    setText(heading, workflow);
    const runs = create('ul', 'chips');
    runs.setAttribute('aria-label', `Runs of ${workflow}`);
    const host = create('div');
    const root = create('div', '', heading, runs, host);
    this.#host.append(root);
    const part = {
      root,
      runs,
      stages: new Table(
        host,
        `Stages of ${workflow}`,
        [{ title: 'Stage' }, number('Running'), number('Waiting'), number('Failed')],
        'No stages.',
      ),
    };
    this.#parts.set(workflow, part);
    return part;
  }
}
