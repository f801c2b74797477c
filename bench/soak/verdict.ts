/** Figures that a soak ends with. Pure. */

/** Share in per cent; `100` only if nothing at all is missing, however long the soak was. */
export function shareText(part: number, whole: number): string {
  if (part >= whole) return '100';
  return (Math.floor((part / whole) * 1_000_000) / 10_000).toFixed(4);
}

/** Slope of the least-squares line through the samples, the first quarter left out: heaps and history fill up in it. */
export function slopePerHour(samples: readonly { readonly atSeconds: number; readonly rssMb: number }[]): number {
  const counted = samples.slice(samples.length >> 2);
  if (counted.length < 2) return 0;
  const meanX = mean(counted.map(({ atSeconds }) => atSeconds));
  const meanY = mean(counted.map(({ rssMb }) => rssMb));
  let products = 0;
  let squares = 0;
  for (const { atSeconds, rssMb } of counted) {
    products += (atSeconds - meanX) * (rssMb - meanY);
    squares += (atSeconds - meanX) ** 2;
  }
  return squares === 0 ? 0 : (products / squares) * 3_600;
}

/** From the second quarter's median to the last one's, as a share. */
export function growthOf(values: readonly number[]): number {
  const quarter = (index: number): number => {
    const part = values.slice((values.length * index) >> 2, (values.length * (index + 1)) >> 2);
    return part.toSorted((left, right) => left - right)[part.length >> 1] ?? Number.NaN;
  };
  return quarter(3) / quarter(1) - 1;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
