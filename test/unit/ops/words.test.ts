/** Figures as people read them. */
import t from 'tap';
import { bytesText, countText, durationText, msText, percentText, rateText, spanText } from '../../../src/ops/words.ts';

const HOUR_MS = 3_600_000;

for (const [write, value, want] of [
  [msText, undefined, '–'],
  [msText, Number.NaN, '–'],
  [msText, 0, '0'],
  [msText, 0.0234, '0.023'],
  [msText, 0.345, '0.34'],
  [msText, 9.876, '9.88'],
  [msText, 12.34, '12.3'],
  [msText, 1_234.5, '1,235'],
  [msText, 123_456, '123 s'],
  [durationText, 0.5, '0.50 ms'],
  [durationText, 250_000, '250 s'],
  [durationText, undefined, '–'],
  [countText, 0, '0'],
  [countText, 999_999, '999,999'],
  [countText, 12_345_678, '12.3M'],
  [countText, 123_456_789_012, '123G'],
  [rateText, 0, '0'],
  [rateText, 0.26, '0.3'],
  [rateText, 10_204.7, '10,205'],
  [bytesText, 0, '0 B'],
  [bytesText, 1_023, '1023 B'],
  [bytesText, 1_024, '1.0 KiB'],
  [bytesText, 1_048_575, '1.0 MiB'],
  [bytesText, 112_885_760, '108 MiB'],
  [percentText, 0, '0 %'],
  [percentText, 0.015, '1.5 %'],
  [percentText, 1, '100 %'],
  [spanText, -5, '0s'],
  [spanText, 61_000, '1m 1s'],
  [spanText, 2 * HOUR_MS + 300_000, '2h 5m'],
  [spanText, 76 * HOUR_MS, '3d 4h'],
] as const) {
  t.test(`${write.name}(${value}) is ${want}`, async (t) => {
    const text = (write as (value: number | undefined) => string)(value);
    t.equal(text, want);
    t.ok(text.length <= 10, 'columns hold');
  });
}
