/**
 * Watch over instances: counts how their calls end, opens and closes their breakers, and ejects outliers for a while.
 *
 * Thread: the lane's. Whenever an instance becomes available again by this, `onRoom` is told.
 */
import type { LaneContext } from '../lane-context.ts';
import { LaneMetric } from '../lane-metrics.ts';
import type { CallOutcome } from './breaker.ts';
import type { Call } from './call.ts';
import type { Instance } from './instance.ts';
import { ejectedMax, findOutliers, OUTLIER_INSTANCES_MIN, type Outlier } from './outliers.ts';
import type { Service } from './service.ts';
import type { OutlierConfig } from './service-config.ts';
import type { ServiceEvents } from './service-events.ts';

export class InstanceWatch {
  readonly #lane: LaneContext;
  readonly #events: ServiceEvents;
  readonly #onRoom: (instance: Instance) => void;

  constructor(lane: LaneContext, events: ServiceEvents, onRoom: (instance: Instance) => void) {
    this.#lane = lane;
    this.#events = events;
    this.#onRoom = onRoom;
  }

  // ---- calls

  /** Hot. The instance has got the call. */
  begin(instance: Instance, call: Call): void {
    instance.inFlight++;
    instance.calls++;
    instance.chosenAt = ++instance.service.choices;
    instance.service.inFlight++;
    instance.service.calls++;
    if (instance.breaker !== null) call.probe = instance.breaker.begin();
  }

  /** Hot. The instance has done with it, one way or the other. */
  end(instance: Instance, call: Call, outcome: CallOutcome): void {
    const { nowMs } = this.#lane;
    const { service, breaker } = instance;
    const durationMs = nowMs - call.startedMs;
    instance.inFlight--;
    service.inFlight--;
    if (outcome === 'error') {
      instance.errors++;
      instance.intervalErrors++;
      service.errors++;
    }
    if (outcome !== 'neutral') {
      instance.intervalCalls++;
      instance.latency.record(durationMs);
      service.latency.record(durationMs);
      if (service.outlierTimer !== null) instance.intervalLatency.record(durationMs);
    }
    if (breaker?.end(call.probe, outcome, durationMs, nowMs) === true && instance.isRegistered) this.#breakerChanged(instance);
  }

  #breakerChanged(instance: Instance): void {
    const { breaker } = instance;
    if (breaker === null) return;
    if (breaker.state === 'open') {
      this.#lane.metrics[LaneMetric.breakersOpened]!++;
      const { openUntilMs } = breaker;
      instance.breakerTimer = this.#lane.timers.set(openUntilMs, () => {
        breaker.halfOpen();
        this.#breakerChanged(instance);
        this.#onRoom(instance);
      });
      this.#events.publish('breaker', instance, { state: breaker.state, openMs: Math.round(openUntilMs - this.#lane.nowMs) });
    } else this.#events.publish('breaker', instance, { state: breaker.state });
  }

  // ---- instances

  /** The service has one instance more. */
  added({ service }: Instance): void {
    if (service.config.outlier !== false && service.outlierTimer === null && service.instances.size >= OUTLIER_INSTANCES_MIN)
      this.#planLook(service, service.config.outlier);
  }

  /** Nothing of it is planned any more. */
  removed(instance: Instance): void {
    const { timers } = this.#lane;
    timers.cancel(instance.breakerTimer);
    timers.cancel(instance.ejectTimer);
    timers.cancel(instance.leaseTimer);
    const { service } = instance;
    if (service.instances.size >= OUTLIER_INSTANCES_MIN) return;
    timers.cancel(service.outlierTimer);
    service.outlierTimer = null;
  }

  // ---- outliers

  #planLook(service: Service, config: OutlierConfig): void {
    // What was counted before there were siblings to compare with is no part of the interval.
    for (const instance of service.instances) resetInterval(instance);
    service.outlierTimer = this.#lane.timers.set(this.#lane.nowMs + config.intervalMs, () => {
      this.#look(service, config);
      this.#planLook(service, config);
    });
  }

  #look(service: Service, config: OutlierConfig): void {
    const judged = [...service.instances].filter((instance) => !instance.isEjected);
    const outliers = findOutliers(
      judged.map(({ intervalCalls, intervalErrors, intervalLatency }) => ({
        calls: intervalCalls,
        errors: intervalErrors,
        p50Ms: intervalLatency.percentileMs(50),
      })),
      config,
    );
    const outIndexes = new Set(outliers.map(({ index }) => index));
    judged.forEach((instance, index) => {
      if (!outIndexes.has(index) && instance.ejections > 0) instance.ejections--;
    });
    const room = ejectedMax(service.instances.size, config) - (service.instances.size - judged.length);
    for (const outlier of outliers.slice(0, Math.max(0, room))) this.#eject(judged[outlier.index] as Instance, outlier, config);
  }

  #eject(instance: Instance, { reason, value, median }: Outlier, { ejectMs, ejectMsMax }: OutlierConfig): void {
    const outMs = Math.min(ejectMs * 2 ** instance.ejections, ejectMsMax);
    instance.ejections++;
    this.#lane.metrics[LaneMetric.instancesEjected]!++;
    instance.ejectTimer = this.#lane.timers.set(this.#lane.nowMs + outMs, () => {
      instance.ejectTimer = null;
      resetInterval(instance);
      this.#events.publish('restored', instance);
      this.#onRoom(instance);
    });
    this.#events.publish('ejected', instance, { reason, value, median, ejectMs: outMs });
  }
}

function resetInterval(instance: Instance): void {
  instance.intervalCalls = 0;
  instance.intervalErrors = 0;
  instance.intervalLatency.reset();
}
