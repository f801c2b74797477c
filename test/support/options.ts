/**
 * Options of front and lanes as the relay has them by default: tests say only what they want otherwise, and a new option is added in one place.
 */
import { frontOptions, laneOptions } from '../../src/app/config.ts';
import { DEFAULTS } from '../../src/app/config-table.ts';
import type { FrontOptions } from '../../src/front/front-options.ts';
import type { LaneOptions } from '../../src/lane/lane-options.ts';

export const FRONT_DEFAULTS: FrontOptions = frontOptions(DEFAULTS);

/** Lane 0 of 1, without topic rules. */
export const LANE_DEFAULTS: LaneOptions = {
  ...laneOptions(DEFAULTS, { index: 0, laneCount: 1, seed: 7, firstSub: 2, life: 0 }),
  topicRules: [],
};
