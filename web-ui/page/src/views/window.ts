// Which stretch of time the strips show: the same for all devices, in round lengths so that it does not jump.

import type { Device } from '../live/contract';

export interface Shown { from: number; until: number }

const LENGTHS_MS = [20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/** A device whose list is this long has lost older reservations, so nothing older is known of it. */
const FULL = 190;

export function windowOf(devices: Device[], now: number, over: boolean): Shown {
  const used = devices.filter((device) => device.reservations.length > 0);
  const lasts = used.flatMap((device) => device.reservations.map((slot) => slot.until_us));
  const last = lasts.length ? Math.max(...lasts) : now;
  const end = over ? last : now;
  const known = (device: Device) => end - (device.reservations[0]?.from_us ?? end);
  const full = used.filter((device) => device.reservations.length >= FULL);
  const span = full.length ? Math.min(...full.map(known)) : Math.max(0, ...used.map(known));
  const length = 1e3 * (LENGTHS_MS.findLast((ms) => ms * 1e3 <= span) ?? LENGTHS_MS[0]!);
  // Promises lie in the future: a tenth of the strip is kept for them.
  return over ? { from: end - length, until: end } : { from: end - length * 0.9, until: end + length * 0.1 };
}
