/**
 * Per-service configuration by name pattern: the last matching rule that has a setting wins, as with topics (topic-config.ts).
 */

export interface ServiceRule {
  readonly match: string;
}
