// Arithmetic on histograms, pure. A histogram is {bounds_s, counts, sum_s}, as /v1/live has it; counts only go up.

/** Returns what came between two readings; all of the later one if there is none before, or the server began anew. */
export function between(before, after) {
  if (!before || after.counts.some((count, at) => count < before.counts[at])) return after;
  return {
    bounds_s: after.bounds_s,
    counts: after.counts.map((count, at) => count - before.counts[at]),
    sum_s: after.sum_s - before.sum_s,
  };
}

/** Adds histograms of the same bounds up; null for none. */
export function merged(list) {
  return list.reduce((sum, one) => (sum ? plus(sum, one) : one), null);
}

const plus = (sum, one) => ({
  bounds_s: one.bounds_s,
  counts: one.counts.map((count, at) => count + sum.counts[at]),
  sum_s: one.sum_s + sum.sum_s,
});

export const total = (histogram) => (histogram ? histogram.counts.reduce((sum, count) => sum + count, 0) : 0);

/**
 * Returns the milliseconds that a share of the values do not exceed, evenly spread within a bucket, as Prometheus'
 * histogram_quantile has it; beyond the last bound that bound, null for an empty histogram.
 */
export function quantile(histogram, share) {
  const wanted = share * total(histogram);
  if (!wanted) return null;
  let below = 0;
  for (const [at, bound] of histogram.bounds_s.entries()) {
    const count = histogram.counts[at];
    const lower = at ? histogram.bounds_s[at - 1] : 0;
    if (count && below + count >= wanted) return 1000 * (lower + ((bound - lower) * (wanted - below)) / count);
    below += count;
  }
  return 1000 * histogram.bounds_s.at(-1);
}
